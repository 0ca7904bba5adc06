"""Action and observation spaces, with gymnax's attribute names and without its imports."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def _traced(*bounds: Any) -> bool:
    """Whether bounds depend on traced parameters, and have no values to look at yet."""
    return any(isinstance(bound, jax.core.Tracer) for bound in bounds)


class Discrete:
    """The integers `0 … n - 1`."""

    def __init__(self, n: int, dtype: Any = jnp.int32) -> None:
        """A space of `n` integers; raises ValueError below 1."""
        if n < 1:
            raise ValueError(f"n={n}: a Discrete space needs at least one element.")
        self.n = n
        self.shape: tuple[int, ...] = ()
        self.dtype = dtype

    def sample(self, key: jax.Array) -> jax.Array:
        """One element, uniformly."""
        return jax.random.randint(key, self.shape, 0, self.n, self.dtype)

    def contains(self, x: Any) -> jax.Array:
        """Whether `x` lies within, element by element."""
        x = jnp.asarray(x)
        return (x >= 0) & (x < self.n) & (x == jnp.floor(x))

    def __repr__(self) -> str:
        return f"Discrete({self.n})"


class Box:
    """Arrays between two bounds, each a number or an array of the space's shape."""

    def __init__(
        self, low: Any, high: Any, shape: tuple[int, ...] | None = None, dtype: Any = jnp.float32
    ) -> None:
        """A space of arrays; the shape defaults to that of the bounds.

        Raises:
            ValueError: a lower bound above the upper one.
        """
        # numpy, not jax: a space is a description, and must not wake the device.
        self.shape = tuple(np.broadcast_shapes(np.shape(low), np.shape(high), shape or ()))
        if not _traced(low, high) and np.any(np.asarray(low) > np.asarray(high)):
            raise ValueError(f"low={low} lies above high={high}.")
        self.low, self.high, self.dtype = low, high, dtype

    def sample(self, key: jax.Array) -> jax.Array:
        """One element, uniformly; raises ValueError where it is unbounded.

        A span that float32 cannot hold, as of a bound at the type's largest number, counts as
        unbounded. Integers must fit int32.
        """
        if jnp.issubdtype(self.dtype, jnp.integer):
            low, high = jnp.asarray(self.low, jnp.int32), jnp.asarray(self.high, jnp.int32)
            return jax.random.randint(key, self.shape, low, high + 1).astype(self.dtype)
        if not _traced(self.low, self.high):
            with np.errstate(over="ignore", invalid="ignore"):
                span = np.asarray(self.high, np.float32) - np.asarray(self.low, np.float32)
            if not np.isfinite(span).all():
                raise ValueError(f"{self} is unbounded: there is no uniform sample of it.")
        return jax.random.uniform(key, self.shape, self.dtype, self.low, self.high)

    def contains(self, x: Any) -> jax.Array:
        """Whether all of `x` lies within the bounds."""
        return jnp.all((jnp.asarray(x) >= self.low) & (jnp.asarray(x) <= self.high))

    def __repr__(self) -> str:
        return f"Box({self.low}, {self.high}, {self.shape}, {np.dtype(self.dtype).name})"
