"""The product of a dense layer, with a weight gradient that a CPU computes well.

The gradient of `x @ w` by `w` is `xᵀ @ d`, a sum over the rows of the batch. Left to itself, XLA
folds the transpose into the product, for which it has no fast kernel on a CPU: it packs both sides
anew, and a narrow `d`, of a policy's few actions, leaves most of a register empty. With `xᵀ` as an
array of its own the product is an ordinary one, and narrow ones are taken column by column.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from jaxrl.types import Array

NARROW = 6
"""Up to so many columns of `d`, a product for each of them is faster than one of all."""


def dense_product(x: Array, w: Array, dimension_numbers: Any, precision: Any = None) -> Array:
    """`x [N, I] @ w [I, O]`, to be given to `flax.linen.Dense` as its `dot_general`.

    It is `jax.lax.dot_general`, with the same derivatives up to the order of sums. Only where a
    CPU is faster so is the gradient by `w` computed in another way than XLA's.
    """
    plain = dimension_numbers == (((1,), (0,)), ((), ())) and x.ndim == 2 and precision is None
    if not plain or not _is_faster(w.shape[1]) or jax.default_backend() != "cpu":
        return jax.lax.dot_general(x, w, dimension_numbers, precision)
    return _product(x, w)


def _is_faster(columns: int) -> bool:
    """Whether XLA's own gradient is the slower one for so many columns of `d`, as measured."""
    return columns <= 8 or columns % 32 == 0


@jax.custom_jvp
def _product(x: Array, w: Array) -> Array:
    return x @ w


def _product_jvp(primals: tuple[Array, Array], tangents: tuple[Any, Any]) -> tuple[Array, Array]:
    (x, w), (dx, dw) = primals, tangents
    out = x @ w
    terms = []
    if not isinstance(dx, SymbolicZero):
        terms.append(dx @ w)
    if not isinstance(dw, SymbolicZero):
        terms.append(_by_weights(x, dw))
    return out, sum(terms[1:], terms[0]) if terms else jnp.zeros_like(out)


_product.defjvp(_product_jvp, symbolic_zeros=True)


def _by_weights(x: Array, dw: Array) -> Array:
    """`x @ dw`, written as that whose transpose, which is the gradient, is computed well."""
    if dw.shape[1] <= NARROW:
        return jnp.stack([x @ column for column in dw.T], axis=-1)
    # Without a barrier XLA folds the transpose into the product.
    transposed = jax.lax.optimization_barrier(x.T)
    return jax.lax.dot_general(transposed, dw, (((0,), (0,)), ((), ())))
