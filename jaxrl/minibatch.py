"""Cutting a trajectory into rows, and rows into minibatches; which rows may be learned from."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from jaxrl import returns
from jaxrl.errors import ConfigError
from jaxrl.types import Array, Key, PyTree, Trajectory


def as_rows(trajectory: PyTree) -> PyTree:
    """`[T, B, ...]` leaves as `[T * B, ...]`."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), trajectory)


def take(rows: PyTree, index: Array) -> PyTree:
    """The rows of that index `[N]`, from every leaf."""
    return jax.tree.map(lambda x: x[index], rows)


def row_weight(trajectory: Trajectory) -> Array | None:
    """1 on the rows `[T, B]` whose return is known, 0 where a reward in it is missing.

    None where no reward can be missing (`labelled` is None): then no program changes.
    """
    if trajectory.labelled is None:
        return None
    known = returns.known_returns(trajectory.labelled, trajectory.terminated, trajectory.truncated)
    return known.astype(jnp.float32)


def unless_empty(weight: Array | None, new: PyTree, old: PyTree) -> PyTree:
    """`new`, or `old` where no row has a weight: such a batch does not move even the momentum."""
    return new if weight is None else optax.tree.where(weight.sum() > 0, new, old)


def minibatch_rows(key: Key, num_rows: int, num_minibatches: int, epochs: int) -> Array:
    """Which rows each gradient step sees, `[epochs * num_minibatches, N]`.

    Every epoch is a shuffle of its own, so that each row is seen once an epoch.
    """
    keys = jax.random.split(key, epochs)
    rows = jax.vmap(lambda k: shuffled(k, num_rows))(keys)
    return rows.reshape(epochs * num_minibatches, -1)


def shuffled(key: Key, num_rows: int) -> Array:
    """The numbers `0 … num_rows - 1` in random order, int32 `[num_rows]`.

    Up to 65,536 rows, the row's number is packed under random bits and the words are sorted: three
    to ten times faster on a CPU than `jax.random.permutation`, which sorts pairs. Rows that drew
    the same bits (at least 16 of them) stay in order; where a row goes among the minibatches can
    depend on that only if the tie straddles two of them.
    """
    width = (num_rows - 1).bit_length()
    if width > 16:
        return jax.random.permutation(key, num_rows)
    bits = jax.random.bits(key, (num_rows,), jnp.uint32) >> width << width
    packed = jnp.sort(bits | jnp.arange(num_rows, dtype=jnp.uint32))
    return (packed & (2**width - 1)).astype(jnp.int32)


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
