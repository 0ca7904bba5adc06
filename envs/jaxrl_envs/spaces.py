"""Action and observation spaces, with gymnax's attribute names and without its imports."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


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
        return (jnp.asarray(x) >= 0) & (jnp.asarray(x) < self.n)

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
        if np.any(np.asarray(low) > np.asarray(high)):
            raise ValueError(f"low={low} lies above high={high}.")
        self.low, self.high, self.dtype = low, high, dtype

    def sample(self, key: jax.Array) -> jax.Array:
        """One element, uniformly; raises ValueError where a bound is infinite."""
        if not (np.isfinite(self.low).all() and np.isfinite(self.high).all()):
            raise ValueError(f"{self} is unbounded: there is no uniform sample of it.")
        if jnp.issubdtype(self.dtype, jnp.integer):
            high = np.asarray(self.high).astype(np.int64) + 1
            draw = jax.random.randint(key, self.shape, np.asarray(self.low, np.int32), high)
            return draw.astype(self.dtype)
        return jax.random.uniform(key, self.shape, self.dtype, self.low, self.high)

    def contains(self, x: Any) -> jax.Array:
        """Whether all of `x` lies within the bounds."""
        return jnp.all((jnp.asarray(x) >= self.low) & (jnp.asarray(x) <= self.high))

    def __repr__(self) -> str:
        return f"Box({self.low}, {self.high}, {self.shape}, {np.dtype(self.dtype).name})"
