"""Cutting a trajectory into rows, and rows into minibatches; which rows may be learned from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxrl import returns
from jaxrl.errors import ConfigError
from jaxrl.types import Array, Key, Mean, Metrics, PyTree, Trajectory

CACHED = 2**18
"""Numbers of a layer's output, 1 MiB, that stay in a CPU's cache until the gradient needs them."""


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


def mean_gradient(
    loss_fn: Callable[..., tuple[Array, Metrics]], params: PyTree, batch: Any, *args: Any
) -> tuple[PyTree, Metrics]:
    """The gradient of a loss that is a mean over rows, and its metrics.

    On a CPU a large batch is taken in parts whose layers' outputs stay in its cache, one after the
    other. By how much a part's mean counts is its share of the rows, or of their weight.

    Args:
        loss_fn: `(params, batch, *args) -> (loss, metrics)`, means over the rows of the batch,
            weighted by `batch.weight`, of 0 and 1, if that is not None. A metric is one sample.
        params: what the gradient is by.
        batch: leaves `[N, ...]`, among them `obs` and `weight`.
        *args: what else the loss takes.
    """

    def gradient(params: PyTree, batch: Any) -> tuple[PyTree, Metrics]:
        return jax.grad(loss_fn, has_aux=True)(params, batch, *args)

    rows = len(batch.obs)
    count = _num_parts(params, rows, rows)
    if count == 1:
        return gradient(params, batch)
    parts = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), batch)
    share = jnp.full(count, 1 / count)
    if batch.weight is not None:
        of_parts = parts.weight.sum(1)
        share = of_parts / jnp.maximum(of_parts.sum(), 1)

    def add(total: PyTree, part: tuple[Any, Array]) -> tuple[PyTree, None]:
        rows, share = part
        grads, metrics = gradient(params, rows)
        told = {name: mean.total for name, mean in metrics.items()}
        return jax.tree.map(
            lambda t, x: t + (share * x).astype(t.dtype), total, (grads, told)
        ), None

    told = jax.eval_shape(gradient, params, jax.tree.map(lambda x: x[0], parts))[1]
    zeros = jax.tree.map(jnp.zeros_like, params), dict.fromkeys(told, jnp.float32(0))
    (grads, totals), _ = jax.lax.scan(add, zeros, (parts, share))
    return grads, {name: Mean.of(total) for name, total in totals.items()}


def by_steps(function: Callable[[Array], Array], params: PyTree, obs: Array) -> Array:
    """A network's output for a whole trajectory, in parts as `mean_gradient`.

    Args:
        function: `obs [T, B, *O] -> [T, B, ...]`, the same for every step.
        params: what the network has, for its widths.
        obs: `[T, B, *O]`.
    """
    steps, lanes, *shape = obs.shape
    count = _num_parts(params, steps * lanes, steps)
    if count == 1:
        return function(obs)
    out = jax.lax.map(function, obs.reshape(count, -1, lanes, *shape))
    return out.reshape(steps, *out.shape[2:])


def _num_parts(params: PyTree, rows: int, divides: int) -> int:
    """Into how many equal parts to cut so many rows for the widest layer's output to be `CACHED`.

    The number divides `divides`, and is the smallest such, or `divides` where that is too few. It
    is 1 where the next that divides would make far smaller parts: each reads all weights again.
    """
    if jax.default_backend() != "cpu":
        return 1
    leaves = jax.tree.leaves(params)
    if any(x.ndim > 2 for x in leaves):
        return 1  # a convolution's output is as large as its image, which its kernel does not tell
    widest = max((x.shape[-1] for x in leaves if x.ndim), default=1)
    least = min(-(-rows * widest // CACHED), divides)
    return next((n for n in range(least, 4 * least + 1) if divides % n == 0), 1)


def minibatch_rows(key: Key, num_rows: int, num_minibatches: int, epochs: int) -> Array:
    """Which rows each gradient step sees, `[epochs * num_minibatches, N]`.

    Every epoch is a shuffle of its own, so that each row is seen once an epoch.
    """
    keys = jax.random.split(key, epochs)
    rows = jax.vmap(lambda k: shuffled(k, num_rows, num_rows // num_minibatches))(keys)
    return rows.reshape(epochs * num_minibatches, -1)


def shuffled(key: Key, num_rows: int, size: int) -> Array:
    """The numbers `0 … num_rows - 1` in random order, int32 `[num_rows]`, to be cut by `size`.

    The row's number is packed under random bits and the words are sorted: three to ten times faster
    on a CPU than `jax.random.permutation`, which sorts pairs. Rows that drew the same bits stay in
    order; where a row goes among the minibatches can depend on that only if they straddle two. So
    it is done where those are expected to be at most a sixteenth of a minibatch.
    """
    width = (num_rows - 1).bit_length()
    if 16 * num_rows > size << (32 - width):
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
