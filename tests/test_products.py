"""The product of a dense layer has the derivatives of `jax.lax.dot_general`."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.products import dense_product

PLAIN = (((1,), (0,)), ((), ()))
COLUMNS = [1, 2, 6, 7, 8, 16, 32]


def _loss(product, x, w):
    return jnp.sin(product(x, w, PLAIN)).sum()


def _arguments(columns):
    keys = jax.random.split(jax.random.key(0), 2)
    return jax.random.normal(keys[0], (10, 5)), jax.random.normal(keys[1], (5, columns))


@pytest.mark.parametrize("columns", COLUMNS)
def test_gradients_are_those_of_dot_general(columns):
    x, w = _arguments(columns)
    ours, theirs = (
        jax.jit(jax.value_and_grad(partial(_loss, f), (0, 1)))(x, w)
        for f in (dense_product, jax.lax.dot_general)
    )
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), ours, theirs)


@pytest.mark.parametrize("columns", [2, 32])
def test_forward_mode_and_second_derivatives(columns):
    """Natural gradients take the tangent of a gradient, and the tangent of an output."""
    x, w = _arguments(columns)
    direction = jnp.ones_like(w)

    def products(product):
        by_w = partial(_loss, product, x)
        hessian_vector = jax.jvp(jax.grad(by_w), (w,), (direction,))[1]
        return jax.jvp(by_w, (w,), (direction,)), hessian_vector

    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4),
        products(dense_product),
        products(jax.lax.dot_general),
    )


@pytest.mark.parametrize("columns", [2, 32])
def test_seeds_under_a_vmap(columns):
    x, w = _arguments(columns)
    weights = jnp.stack([w, 2 * w, -w])
    together = jax.vmap(jax.grad(partial(_loss, dense_product, x)))(weights)
    for one, of_seed in zip(weights, together, strict=True):
        alone = jax.grad(partial(_loss, dense_product, x))(one)
        np.testing.assert_allclose(of_seed, alone, rtol=1e-5, atol=1e-6)


def test_what_is_not_a_matrix_is_left_to_jax():
    x = jnp.ones((3, 4, 5))
    out = dense_product(x, jnp.ones((5, 2)), (((2,), (0,)), ((), ())))
    assert out.shape == (3, 4, 2)


def test_a_constant_input_costs_no_product():
    """Observations have no tangent: nothing of theirs is multiplied."""
    x, w = _arguments(8)
    program = jax.make_jaxpr(jax.grad(partial(_loss, dense_product, x)))(w)
    assert str(program).count("dot_general") == 2
