"""Cutting a trajectory into rows, and rows into minibatches."""

from __future__ import annotations

import jax

from jaxrl.errors import ConfigError
from jaxrl.types import Array, Key, PyTree


def as_rows(trajectory: PyTree) -> PyTree:
    """`[T, B, ...]` leaves as `[T * B, ...]`."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), trajectory)


def take(rows: PyTree, index: Array) -> PyTree:
    """The rows of that index `[N]`, from every leaf."""
    return jax.tree.map(lambda x: x[index], rows)


def minibatch_rows(key: Key, num_rows: int, num_minibatches: int, epochs: int) -> Array:
    """Which rows each gradient step sees, `[epochs * num_minibatches, N]`.

    Every epoch is a permutation of its own, so that each row is seen once an epoch.
    """
    keys = jax.random.split(key, epochs)
    rows = jax.vmap(lambda k: jax.random.permutation(k, num_rows))(keys)
    return rows.reshape(epochs * num_minibatches, -1)


def check_minibatches(num_envs: int, num_steps: int, num_minibatches: int) -> None:
    """Raises `ConfigError` unless the minibatches divide the batch, naming numbers that do."""
    size = num_envs * num_steps
    if size % num_minibatches == 0:
        return
    fits = [n for n in range(1, size + 1) if size % n == 0]
    near = sorted(sorted(fits, key=lambda n: abs(n - num_minibatches))[:2])
    raise ConfigError(
        f"num_minibatches={num_minibatches} does not divide num_envs * num_steps = "
        f"{num_envs} * {num_steps} = {size}: the nearest that do are "
        f"{' and '.join(str(n) for n in near)}."
    )
