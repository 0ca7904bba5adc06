"""Counting operations: against hands, and against XLA where there is no loop."""

import itertools

import jax
import jax.numpy as jnp
import pytest
from work import PER_RANDOM_WORD, Work, kernels, work_of

from jaxrl.products import dense_product

N, SIZES = 32, (4, 64, 64, 2)
PRODUCTS = 2 * N * (4 * 64 + 64 * 64 + 64 * 2)


@pytest.fixture(scope="module")
def mlp():
    """`(weights, x)` of a network of two hidden layers."""
    keys = jax.random.split(jax.random.key(0), len(SIZES))
    shapes = itertools.pairwise(SIZES)
    weights = [jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=False)]
    return weights, jnp.ones((N, SIZES[0]))


def forward(weights, x):
    *hidden, last = weights
    for weight in hidden:
        x = jnp.tanh(x @ weight)
    return x @ last


def test_products_of_a_network_are_those_of_a_hand_count(mlp):
    work = work_of(forward, *mlp)
    assert work.product_flops == PRODUCTS
    # Two layers of tanh, and nothing else.
    assert work.flops == PRODUCTS + 2 * N * 64


def test_bytes_of_products_are_their_operands_and_results(mlp):
    numbers = sum(N * i + i * o + N * o for i, o in itertools.pairwise(SIZES))
    assert work_of(forward, *mlp).bytes == 4 * numbers


def test_a_gradient_is_two_more_products_a_layer_but_one_at_the_first(mlp):
    work = work_of(jax.grad(lambda w, x: forward(w, x).sum()), *mlp)
    first = 2 * N * SIZES[0] * SIZES[1]
    # The loss is linear in the last layer, whose own product is then not needed.
    last = 2 * N * SIZES[-2] * SIZES[-1]
    assert work.product_flops in (3 * PRODUCTS - first, 3 * PRODUCTS - first - last)


@pytest.mark.parametrize("seeds", [None, 3])
@pytest.mark.parametrize("columns", [2, 32])
def test_our_products_do_as_much_as_jax_s(columns, seeds):
    def gradient(product):
        loss = jax.grad(lambda w, x: product(x, w, (((1,), (0,)), ((), ()))).sum())
        return jax.vmap(loss) if seeds else loss

    shape = (seeds,) if seeds else ()
    args = jnp.ones((*shape, 64, columns)), jnp.ones((*shape, N, 64))
    ours, theirs = (work_of(gradient(f), *args) for f in (dense_product, jax.lax.dot_general))
    assert ours.product_flops == theirs.product_flops > 0
    assert ours.flops == theirs.flops
    if jax.default_backend() == "cpu":
        # Wide: the transposed input is read and written. Narrow: it is read for each column.
        more = 2 if columns == 32 else columns - 1
        assert ours.bytes == theirs.bytes + more * args[1].nbytes


def test_a_loop_counts_its_body_each_round_and_what_it_takes_and_leaves(mlp):
    weights, x = mlp

    def looped(weights, xs):
        return jax.lax.scan(lambda s, x: (s + 1, forward(weights, x)), 0.0, xs)

    once, ten = work_of(forward, weights, x), work_of(looped, weights, jnp.stack([x] * 10))
    assert ten.product_flops == 10 * once.product_flops
    assert ten.bytes == 10 * once.bytes + 4 * 10 * N * (SIZES[0] + SIZES[-1])


def test_loops_in_loops_multiply_and_calls_are_looked_into():
    def outer(x):
        inner = jax.jit(lambda i, x: jax.lax.fori_loop(0, 5, lambda _, x: x * 2.0, x))
        return jax.lax.fori_loop(0, 3, inner, x)

    # Besides the products, each round counts the loop's index up by one.
    assert work_of(outer, jnp.ones(7)).flops == 3 * (5 * (7 + 1) + 1)


def test_random_words_and_branches_are_counted():
    draw = work_of(lambda k: jax.random.bits(k, (100,)), jax.random.key(0))
    assert draw == Work(flops=100 * PER_RANDOM_WORD)
    chosen = work_of(lambda p, x: jax.lax.cond(p, lambda x: x + x * x, lambda x: x, x), True, 1.0)
    assert chosen.flops >= 2


def test_a_loop_of_unknown_length_is_refused_unless_it_is_told():
    def looped(x):
        return jax.lax.while_loop(lambda x: x < 10, lambda x: x + 1, x)

    with pytest.raises(ValueError, match="unknown number of rounds"):
        work_of(looped, 0)
    assert work_of(looped, 0, unknown_rounds=3).flops == 3


def test_xla_counts_the_same_products_where_there_is_no_loop(mlp):
    compiled = jax.jit(forward).lower(*mlp).compile()
    # XLA counts functions such as tanh apart from operations.
    assert compiled.cost_analysis()["flops"] == pytest.approx(PRODUCTS, rel=0.05)


HLO = """\
HloModule jit_f

%body (arg: (s32[], f32[8])) -> (s32[], f32[8]) {
  %arg = (s32[], f32[8]{0}) parameter(0)
  %x = f32[8]{0} get-tuple-element(%arg), index=1
  %i = s32[] get-tuple-element(%arg), index=0
  %y = f32[8]{0} fusion(%x), kind=kLoop, calls=%fused
  %n = s32[] add(%i, %i)
  ROOT %out = (s32[], f32[8]{0}) tuple(%n, %y)
}

%cond (arg: (s32[], f32[8])) -> pred[] {
  %arg = (s32[], f32[8]{0}) parameter(0)
  ROOT %less = pred[] compare(%arg, %arg), direction=LT
}

%fused (x: f32[8]) -> f32[8] {
  %x = f32[8]{0} parameter(0)
  ROOT %t = f32[8]{0} tanh(%x)
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %x = f32[8]{0} parameter(0)
  %start = (s32[], f32[8]{0}) tuple(%x, %x)
  %loop = (s32[], f32[8]{0}) while(%start), condition=%cond, body=%body, backend_config={"known_trip_count":{"n":"10"}}
  ROOT %y = f32[8]{0} get-tuple-element(%loop), index=1
}
"""  # noqa: E501


def test_kernels_of_a_written_program():
    # Each round a fusion, an addition and a comparison.
    assert kernels(HLO) == 30


def test_kernels_of_a_compiled_program_grow_with_its_rounds():
    def of(rounds):
        looped = jax.jit(lambda x: jax.lax.fori_loop(0, rounds, lambda _, x: jnp.tanh(x @ x), x))
        return kernels(looped.lower(jnp.eye(8)).compile().as_text())

    assert of(200) - of(100) == of(300) - of(200) >= 200
