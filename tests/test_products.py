"""The product of a dense layer has the values and derivatives of `jax.lax.dot_general`."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from jaxrl.products import NARROW, dense_product

PLAIN = (((1,), (0,)), ((), ()))
COLUMNS = [1, 2, NARROW, NARROW + 1, 16, 32]
on_a_cpu = pytest.mark.skipif(
    jax.default_backend() != "cpu", reason="another device is left to jax"
)


def _arguments(columns, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(keys[0], (10, 5), dtype)
    return x, jax.random.normal(keys[1], (5, columns), dtype)


def _loss(product, x, w):
    return jnp.sin(product(x, w, PLAIN)).sum()


def _same(test, *args, rtol=1e-5, atol=1e-5):
    """`test(product, *args)` gives the same numbers with both products."""
    ours, theirs = (test(f, *args) for f in (dense_product, jax.lax.dot_general))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=rtol, atol=atol), ours, theirs)


@pytest.mark.parametrize("columns", COLUMNS)
def test_values_and_gradients(columns):
    _same(
        lambda product, x, w: jax.jit(jax.value_and_grad(partial(_loss, product), (0, 1)))(x, w),
        *_arguments(columns),
    )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("columns", [2, 32])
def test_smaller_types(columns, dtype):
    """Sums of ten numbers, rounded to 8 or 11 bits in another order."""

    def test(product, x, w):
        value, grads = jax.value_and_grad(partial(_loss, product), (0, 1))(x, w)
        assert {g.dtype for g in grads} == {jnp.dtype(dtype)}
        return jax.tree.map(lambda g: np.asarray(g, np.float32), (value, grads))

    _same(test, *_arguments(columns, dtype), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("columns", [2, 32])
@pytest.mark.parametrize("by", [0, 1])
def test_tangents_and_second_derivatives(columns, by):
    """Natural gradients take the tangent of a gradient; a penalty on gradients, its gradient."""

    def test(product, *args):
        def of(a):
            return _loss(product, *args[:by], a, *args[by + 1 :])

        direction = jnp.cos(args[by])
        return (
            jax.jvp(of, (args[by],), (direction,)),
            jax.jvp(jax.grad(of), (args[by],), (direction,)),
            jax.grad(lambda a: jnp.square(jax.grad(of)(a)).sum())(args[by]),
            jax.grad(lambda a: jax.jvp(of, (a,), (direction,))[1])(args[by]),
        )

    _same(test, *_arguments(columns), rtol=1e-4, atol=1e-4)


def test_the_tangent_of_both_at_once():
    def test(product, x, w):
        return jax.jvp(lambda t: _loss(product, x + t, w * t), (0.5,), (1.0,))

    _same(test, *_arguments(3))


@pytest.mark.parametrize("columns", [2, 32])
@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (1, 2), (2, None), (None, 1)])
def test_seeds_under_a_vmap(columns, axes):
    """With rows, weights or both of their own, wherever their axis lies."""

    def seeds(a, axis):
        if axis is None:
            return a
        return jnp.moveaxis(jnp.stack([a, 2 * a, -a]), 0, axis)

    def test(product, x, w):
        args = [seeds(a, axis) for a, axis in zip((x, w), axes, strict=True)]
        return jax.vmap(jax.value_and_grad(partial(_loss, product), (0, 1)), axes)(*args)

    _same(test, *_arguments(columns))


@pytest.mark.parametrize("inner", [(0, None), (None, 0), (0, 0)])
@pytest.mark.parametrize("outer", [(0, None), (None, 0), (0, 0)])
def test_twins_in_each_seed(inner, outer):
    """A `vmap` of a `vmap`, with gradients outside of both: the axes come in every order."""

    def test(product, x, w):
        args = [x, w]
        for times, axes in ((2, inner), (3, outer)):
            args = [
                jnp.stack([(1 + k) * a for k in range(times)]) if axis == 0 else a
                for a, axis in zip(args, axes, strict=True)
            ]
        apply = jax.vmap(jax.vmap(lambda x, w: product(x, w, PLAIN), inner), outer)
        return jax.value_and_grad(lambda args: jnp.sin(apply(*args)).sum())(args)

    _same(test, *_arguments(3), rtol=1e-4, atol=1e-4)


@on_a_cpu
@pytest.mark.parametrize("seeds", [None, 3])
def test_the_gradient_is_an_ordinary_product(seeds):
    """XLA is given `xᵀ` as an array, and nothing transposed is asked of the product itself."""
    x, w = _arguments(32)
    gradient, numbers = jax.grad(partial(_loss, dense_product), 1), "(([1], [0]), ([], []))"
    if seeds:
        x, w = jnp.stack([x] * seeds), jnp.stack([w] * seeds)
        gradient, numbers = jax.vmap(gradient), "(([2], [1]), ([0], [0]))"
    program = str(jax.make_jaxpr(gradient)(x, w))
    assert "optimization_barrier" in program
    assert program.count("dot_general") == 1
    assert f"dot_general[dimension_numbers={numbers}]" in program


@on_a_cpu
def test_a_narrow_gradient_is_taken_by_columns():
    x, w = _arguments(2)
    program = str(jax.make_jaxpr(jax.grad(partial(_loss, dense_product), 1))(x, w))
    assert "optimization_barrier" not in program
    assert program.count("dot_general") == 2


def test_a_constant_input_costs_no_product():
    """Observations have no tangent: nothing of theirs is multiplied."""
    x, w = _arguments(8)
    both = str(jax.make_jaxpr(jax.grad(partial(_loss, dense_product), (0, 1)))(x, w))
    one = str(jax.make_jaxpr(jax.grad(partial(_loss, dense_product), 1))(x, w))
    assert one.count("dot_general") == both.count("dot_general") - 1


@pytest.mark.parametrize(
    ("shapes", "numbers", "settings"),
    [
        (((3, 4, 5), (5, 2)), (((2,), (0,)), ((), ())), {}),
        (((5, 4), (5, 2)), (((0,), (0,)), ((), ())), {}),
        (((3, 4, 5), (3, 5, 2)), (((2,), (1,)), ((0,), (0,))), {}),
        (((4, 5), (5, 2, 3)), PLAIN, {}),
        (((4, 5), (5,)), PLAIN, {}),
        (((4, 5), (5, 2)), PLAIN, {"precision": "highest"}),
        (((4, 5), (5, 2)), PLAIN, {"preferred_element_type": jnp.float32}),
    ],
)
def test_what_is_not_plain_is_left_to_jax(shapes, numbers, settings):
    x, w = (jnp.sin(jnp.arange(np.prod(s), dtype=jnp.float32)).reshape(s) for s in shapes)

    def test(product, x, w):
        return jax.value_and_grad(
            lambda x, w: jnp.sin(product(x, w, numbers, **settings)).sum(), (0, 1)
        )(x, w)

    _same(test, x, w)
    program = jax.make_jaxpr(lambda x, w: dense_product(x, w, numbers, **settings))(x, w)
    assert "dense_product" not in str(program)


def test_a_precision_that_is_asked_of_all_products_is_left_to_jax():
    with jax.default_matmul_precision("highest"):
        program = jax.make_jaxpr(partial(_loss, dense_product))(*_arguments(3))
    assert "dense_product" not in str(program)


def test_sizes_that_do_not_match_are_refused_by_jax():
    with pytest.raises(TypeError, match="contracting dimensions"):
        jax.eval_shape(
            partial(dense_product, dimension_numbers=PLAIN), jnp.ones((2, 3)), jnp.ones((4, 5))
        )


def test_no_columns():
    _same(lambda product, *args: jax.grad(partial(_loss, product), (0, 1))(*args), *_arguments(0))


@pytest.mark.parametrize("number", [1.0, np.float32(1)])
def test_the_type_of_a_python_number_stays_weak(number):
    def weak(product):
        def square(x):
            matrix = jnp.broadcast_to(x, (2, 2))
            return product(matrix, matrix, PLAIN)

        return jax.eval_shape(square, number).weak_type

    assert weak(dense_product) == weak(jax.lax.dot_general) == isinstance(number, float)


@pytest.mark.parametrize("split", ["rows", "weights"])
@pytest.mark.parametrize("checked", [True, False])
def test_on_a_mesh(split, checked):
    """A `shard_map` that is checked is left to jax, which follows what differs along its axis."""
    mesh = jax.make_mesh((1,), ("devices",), axis_types=(AxisType.Auto,))
    along, whole = PartitionSpec("devices"), PartitionSpec()
    order = (along, whole) if split == "rows" else (whole, along)

    def over(product):
        gradient = jax.grad(partial(_loss, product), (0, 1))
        return jax.jit(
            jax.shard_map(gradient, mesh=mesh, in_specs=order, out_specs=order, check_vma=checked)
        )

    args = _arguments(32)
    _same(lambda product, *args: over(product)(*args), *args)
    ours = "optimization_barrier" in str(jax.make_jaxpr(over(dense_product))(*args))
    assert ours == (not checked and jax.default_backend() == "cpu")
