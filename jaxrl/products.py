"""The product of a dense layer, with a weight gradient that a CPU computes well.

The gradient of `x @ w` by `w` is `xᵀ @ d`, a sum over the rows of the batch. jax writes it as
`(dᵀ @ x)ᵀ` with the transposes folded into the product, for which XLA has no fast kernel on a CPU:
it packs both sides anew. Here `xᵀ` is an array of its own, so that the product is an ordinary
one. A narrow `d`, of a policy's few actions, would leave most of a register empty; it is taken
column by column. What this gives is in docs/performance.md.

It is a primitive of jax, and not a function with a derivative of its own, because only a primitive
does all three: it decides how its transpose looks, has forward mode as well, and knows of the axes
that a `vmap` adds. (`jax.custom_vjp` has no forward mode, and of `jax.custom_jvp` jax writes the
transpose.)
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.sharding import AxisType

from jaxrl.types import Array

NARROW = 6
"""Up to so many columns of `d`, a product for each of them is faster than one of all."""


def dense_product(
    x: Array,
    w: Array,
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """`x [N, I] @ w [I, O]`, to be given to `flax.linen.Dense` as its `dot_general`.

    It is `jax.lax.dot_general`, with the same derivatives up to the order of sums. Only where the
    default backend is a CPU is the gradient by `w` computed in another way, and only of plain
    products: two matrices of one type, contracted over the last and the first axis, without a
    precision or a type of the result, and without a layout on a mesh that jax keeps account of
    (explicit axes, or a `shard_map` that is checked).

    Args:
        x: rows of inputs.
        w: a layer's weights.
        dimension_numbers: as `jax.lax.dot_general` has them.
        precision: of the multiplications; None is jax's default.
        preferred_element_type: of the result; None is that of the operands.

    Returns:
        `[N, O]`, or whatever shape the dimension numbers give.
    """
    plain = (
        dimension_numbers == (((1,), (0,)), ((), ()))
        and x.ndim == w.ndim == 2
        and x.shape[1] == w.shape[0]
        and x.dtype == w.dtype
        and precision is None
        and jax.config.jax_default_matmul_precision is None
        and preferred_element_type is None
        and not _on_a_mesh(x)
        and not _on_a_mesh(w)
    )
    if not plain or jax.default_backend() != "cpu":
        return jax.lax.dot_general(x, w, dimension_numbers, precision, preferred_element_type)
    return product_p.bind(x, w)


def _on_a_mesh(x: Array) -> bool:
    """Whether jax keeps account of how the array lies on a mesh, which `dot_general` tells it."""
    kind = jax.typeof(x)
    axes = kind.manual_axis_type
    followed = axes.varying or axes.unreduced or axes.reduced
    return bool(followed) or AxisType.Explicit in kind.sharding.mesh.axis_types


product_p = Primitive("dense_product")
"""`x [*B, N, I] @ w [*B, I, O] -> [*B, N, O]`, linear in each of them."""


@product_p.def_abstract_eval
def _shape(x: Any, w: Any) -> ShapedArray:
    weak_type = x.weak_type and w.weak_type
    return ShapedArray((*x.shape[:-1], w.shape[-1]), x.dtype, weak_type=weak_type)


def _matmul(x: Array, w: Array) -> Array:
    return _contract(x, -1, w, -2)


def _gradient_by_x(d: Array, x: Any, w: Array) -> Array:
    del x  # stands for what is differentiated by, and has no value
    return _contract(d, -1, w, -1)


def _gradient_by_w(d: Array, x: Array, w: Any) -> Array:
    del w
    if 0 < d.shape[-1] <= NARROW:
        columns = [_contract(d[..., i], -1, x, -2) for i in range(d.shape[-1])]
        return jnp.stack(columns, axis=-1)
    # Without a barrier XLA folds the transpose into the product.
    return _matmul(jax.lax.optimization_barrier(jnp.swapaxes(x, -1, -2)), d)


def _contract(a: Array, axis_a: int, b: Array, axis_b: int) -> Array:
    """The product over an axis of each; what comes before the matrix in `b` is a batch in both."""
    batch = tuple(range(b.ndim - 2))
    return jax.lax.dot_general(a, b, (((a.ndim + axis_a,), (b.ndim + axis_b,)), (batch, batch)))


def _under_vmap(args: tuple[Array, Array], axes: tuple[int | None, ...]) -> tuple[Array, int]:
    """With an axis in one of them only, it joins the rows or the columns: one larger product."""
    (x, w), (axis_x, axis_w) = args, axes
    if axis_x is None:
        w = jnp.moveaxis(w, axis_w, -2)
        out = product_p.bind(x, w.reshape(*w.shape[:-2], -1))
        return out.reshape(*out.shape[:-1], *w.shape[-2:]), out.ndim - 1
    if axis_w is None:
        x = jnp.moveaxis(x, axis_x, -3)
        out = product_p.bind(x.reshape(*x.shape[:-3], -1, x.shape[-1]), w)
        return out.reshape(*x.shape[:-1], w.shape[-1]), out.ndim - 2
    return product_p.bind(jnp.moveaxis(x, axis_x, 0), jnp.moveaxis(w, axis_w, 0)), 0


product_p.def_impl(jax.jit(_matmul))
mlir.register_lowering(product_p, mlir.lower_fun(_matmul, multiple_results=False))
ad.defbilinear(product_p, _gradient_by_x, _gradient_by_w)
batching.primitive_batchers[product_p] = _under_vmap
