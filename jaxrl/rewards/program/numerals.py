"""Numbers that follow from the text alone, and arrays: what they are, and how they add up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

SMALL = 2**20
"""An integer up to which adding it, as often as a program can, does not wrap around."""


def is_static(value: Any) -> bool:
    """Whether it is a number that follows from the text alone."""
    return isinstance(value, (bool, int, float))


def is_number(value: Any) -> bool:
    """Whether it can be computed with: a number or an array."""
    return isinstance(value, (bool, int, float, jax.Array))


def is_truth(value: Any) -> bool:
    """Whether it is true or false, or an array of such."""
    return isinstance(value, bool) or (isinstance(value, jax.Array) and value.dtype == jnp.bool_)


def arithmetic(value: Any) -> Any:
    """A value as `+` and `*` take it: truths count 0 or 1, as Python's do."""
    if isinstance(value, jax.Array) and value.dtype == jnp.bool_:
        return value.astype(jnp.int32)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > np.iinfo("i4").max:
        return float(value)
    return value


def added(call: Callable[..., Any], a: Any, b: Any) -> Any:
    """`call(a, b)`, a sum or a difference; of integers that may be large as floats."""
    if not (_adds_little(a) or _adds_little(b)):
        return call(as_float(a), as_float(b))
    return call(arithmetic(a), arithmetic(b))


def _adds_little(value: Any) -> bool:
    return is_truth(value) or (is_static(value) and abs(value) <= SMALL)


def as_float(value: Any) -> Any:
    """A value as numbers that cannot wrap around."""
    if isinstance(value, jax.Array):
        return value if jnp.issubdtype(value.dtype, jnp.floating) else value.astype(jnp.float32)
    return float(value)
