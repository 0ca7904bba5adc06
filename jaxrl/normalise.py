"""Running statistics of observations and returns, kept in the train state.

Statistics have the shape of *one* observation, whatever the number of environments, so that a
policy trained with 2048 of them is evaluated with one. They change once per update. Those of
observations do after learning: within an update, acting, value estimates and gradients see the
same. Those of returns do before it, so that no reward is divided by the deviation of nothing.
Evaluation freezes both simply because acting does not update them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.types import Array, Trajectory


class RunningStats(NamedTuple):
    """Mean and variance of everything seen so far.

    Attributes:
        mean: shape of one observation, float32.
        var: population variance, same shape.
        count: rows seen, float32 scalar. Beyond 2²⁴ rows of a float32 count each batch is still
            added whole (only its last digits are rounded), so the weights stay right.
    """

    mean: Array
    var: Array
    count: Array


class ReturnStats(NamedTuple):
    """Statistics of discounted returns, and the running return of each lane `[B]`."""

    stats: RunningStats
    running: Array


def init_stats(shape: tuple[int, ...]) -> RunningStats:
    """Statistics of nothing: mean 0, variance 1, so that normalising is the identity."""
    return RunningStats(jnp.zeros(shape, jnp.float32), jnp.ones(shape, jnp.float32), jnp.float32(0))


def update_stats(
    stats: RunningStats | None, batch: Array, valid: Array | None = None
) -> RunningStats | None:
    """Merges a batch `[..., *shape]` into the statistics; None stays None.

    The parallel form of Welford's algorithm (Chan, Golub & LeVeque 1983): means and variances are
    merged, never sums of squares, so that float32 loses no digits to a large mean.

    Args:
        stats: what was seen before.
        batch: the new rows.
        valid: bool `[...]`, False on rows that hold nothing; None where all count. A batch without
            any row changes nothing.
    """
    if stats is None:
        return None
    batch = batch.astype(jnp.float32)
    axes = tuple(range(batch.ndim - stats.mean.ndim))
    if valid is None:
        rows = math.prod(batch.shape[axis] for axis in axes)
        mean, var = batch.mean(axes), batch.var(axes)
        count = stats.count + rows
        share = rows / count
    else:
        rows = valid.sum(dtype=jnp.float32)
        valid = valid.reshape(valid.shape + (1,) * stats.mean.ndim)
        mean = jnp.where(valid, batch, 0.0).sum(axes) / jnp.maximum(rows, 1)
        var = jnp.where(valid, (batch - mean) ** 2, 0.0).sum(axes) / jnp.maximum(rows, 1)
        count = stats.count + rows
        share = rows / jnp.maximum(count, 1)
    delta = mean - stats.mean
    merged = stats.var * (1 - share) + var * share + delta**2 * share * (1 - share)
    return RunningStats(stats.mean + delta * share, merged, count)


def normalize(x: Array, stats: RunningStats, clip: float = 10.0, eps: float = 1e-8) -> Array:
    """`(x - mean) / sqrt(var + eps)`, within ±`clip`; `x` has any leading axes."""
    scaled = (x.astype(jnp.float32) - stats.mean) * jax.lax.rsqrt(stats.var + eps)
    return jnp.clip(scaled, -clip, clip)


def see(stats: RunningStats | None, obs: Array) -> Array:
    """Observations as a network sees them: normalised, or as they are where there are no stats."""
    return obs if stats is None else normalize(obs, stats)


def init_return_stats(num_envs: int) -> ReturnStats:
    """Return statistics of nothing, for `num_envs` lanes."""
    return ReturnStats(init_stats(()), jnp.zeros(num_envs, jnp.float32))


def update_return_stats(
    stats: ReturnStats | None, trajectory: Trajectory, gamma: Array | float
) -> ReturnStats | None:
    """Merges the discounted returns of a trajectory `[T, B]`; None stays None.

    `R_t = r_t + γ R_{t-1} (1 - end_{t-1})`: the last reward of an episode counts in its own
    return and nothing of it in the next episode's.
    """
    if stats is None:
        return None

    def step(running: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        reward, ended = row
        total = reward + gamma * running
        return jnp.where(ended, 0.0, total), total

    ended = trajectory.terminated | trajectory.truncated
    running, totals = jax.lax.scan(step, stats.running, (trajectory.reward, ended))
    merged = update_stats(stats.stats, totals)
    assert merged is not None
    return ReturnStats(merged, running)


def scale_reward(reward: Array, stats: ReturnStats | None, clip: float = 10.0) -> Array:
    """Rewards over the deviation of returns, within ±`clip`; the mean is left, it has meaning."""
    if stats is None:
        return reward
    return jnp.clip(reward * jax.lax.rsqrt(stats.stats.var + 1e-8), -clip, clip)
