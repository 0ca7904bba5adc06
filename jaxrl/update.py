"""One update of all seeds as a pure function, and loops over it that stay on the device.

`make_update` is the seam of the framework:

    collect (vmap over seeds) → annotate (all seeds in one call) → learn (vmap over seeds)

The reward is decided in the middle, outside the `vmap`, where a host callback is made once for
all seeds. `run_updates` loops over updates and merges their metrics, so that memory is that of one
update however long the run. `make_train` is a whole run as one function of a key, for those who
want it under their own `jit` and `vmap`; `training.train` drives the same loop from the host.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxrl import rewards
from jaxrl.devices import over_seeds
from jaxrl.errors import ConfigError, check_range
from jaxrl.restarts import select_lanes
from jaxrl.types import (
    Algorithm,
    Array,
    EnvParams,
    Key,
    Metrics,
    PyTree,
    RewardSource,
    StepCount,
)
from jaxrl.vector import strong

NEVER = -1
"""The `first_bad` of a seed whose losses and parameters stayed finite."""


class Carry(NamedTuple):
    """What a chunk of updates hands to the next: train states `[S]` and the reward's state."""

    train: PyTree
    reward: PyTree


class ChunkReport(NamedTuple):
    """What a chunk tells the host.

    Attributes:
        metrics: each `[S]`, merged over the chunk's updates.
        first_bad: `[S]`, the seed's first update, counted from 1, whose losses or whose parameters
            were not all finite; `NEVER` where all were.
    """

    metrics: Metrics
    first_bad: Array


def make_update(
    algorithm: Algorithm, reward: RewardSource, mesh: Mesh | None = None
) -> Callable[[Carry], tuple[Carry, Metrics]]:
    """One update of all seeds, `Carry -> (Carry, Metrics [S])`: learn ∘ annotate ∘ collect.

    With a mesh (`devices.seed_mesh`), each of its devices collects and learns for its share of
    the seeds.
    """

    def update(carry: Carry) -> tuple[Carry, Metrics]:
        # A replay is large, and written in place.
        each = partial(over_seeds, mesh=mesh, keep_axis=has_replay(carry.train))
        states, trajectory = each(lambda s: algorithm.collect(s, reward.needs), carry.train)
        # Outside the vmap over seeds: a host callback in here is made once, for all of them.
        reward_state, trajectory, reward_metrics = reward.annotate(carry.reward, trajectory)
        states, metrics = each(algorithm.learn, states, trajectory)
        return Carry(states, reward_state), metrics | reward_metrics

    return update


def has_replay(states: PyTree) -> bool:
    """Whether train states keep their steps in a replay."""
    return getattr(states, "replay", None) is not None


def run_updates(
    update: Callable[[Carry], tuple[Carry, Metrics]], carry: Carry, num_updates: Array | int
) -> tuple[Carry, ChunkReport]:
    """`num_updates` updates in one loop, their metrics merged on the way.

    The number is traced, so that chunks of any length are one program; memory is that of one
    update. Where the steps of an update vary (`TrainState.steps`), each seed goes on until it has
    done `num_updates * steps_per_update` more steps than were planned before, and then waits for
    the others: its train state stays as it is, so that a seed alone is the seed in a batch.
    """
    like = jax.eval_shape(update, carry)[1]
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
    num_seeds = jax.tree.leaves(like)[0].shape[0]

    def body(loop: tuple[Carry, ChunkReport]) -> tuple[Carry, ChunkReport]:
        carry, report = loop
        carry, metrics = update(carry)
        return carry, add_update(report, carry.train, metrics)

    report = ChunkReport(zeros, jnp.full(num_seeds, NEVER, jnp.int32))
    if carry.train.steps is None:
        return jax.lax.fori_loop(0, num_updates, lambda _, loop: body(loop), (carry, report))
    return _run_steps(body, carry, report, num_updates)


def add_update(report: ChunkReport, train: PyTree, metrics: Metrics) -> ChunkReport:
    """A chunk's report with one more update in it, which led to the train states `[S]`."""
    losses = [mean.total for name, mean in metrics.items() if name.startswith("loss/")]
    bad = ~jnp.isfinite(jnp.stack(losses)).all(axis=0) | ~_finite(train.params)
    first = (report.first_bad == NEVER) & bad
    return ChunkReport(
        metrics=jax.tree.map(jnp.add, report.metrics, metrics),
        first_bad=jnp.where(first, train.update, report.first_bad),
    )


def _finite(params: PyTree) -> Array:
    """Whether all parameters of a seed are finite, bool `[S]`; leaves are `[S, ...]`.

    By sums of squares, to which what is not finite spreads: a product is faster than a search.
    """
    flat = [x.reshape(len(x), -1) for x in jax.tree.leaves(params)]
    return jnp.isfinite(jnp.stack([jnp.einsum("si,si->s", x, x) for x in flat])).all(0)


def _run_steps(
    body: Callable[[tuple[Carry, ChunkReport]], tuple[Carry, ChunkReport]],
    carry: Carry,
    report: ChunkReport,
    num_updates: Array | int,
) -> tuple[Carry, ChunkReport]:
    """Loops `body` until every seed has done the steps of `num_updates` more planned updates."""

    def marked(carry: Carry, idle: Array) -> Carry:
        train = carry.train
        return carry._replace(train=train.replace(steps=train.steps._replace(idle=idle)))

    def waits(carry: Carry) -> Array:
        return carry.train.steps.done >= carry.train.steps.planned

    def step(loop: tuple[Carry, ChunkReport]) -> tuple[Carry, ChunkReport]:
        old, report = loop
        new, new_report = body((marked(old, waits(old)), report))
        train, report = select_lanes(waits(old), (old.train, report), (new.train, new_report))
        # The reward's state is one for all seeds; idle ones gave it no episode.
        return new._replace(train=train), report

    steps: StepCount = carry.train.steps
    more = jnp.asarray(num_updates).astype(jnp.uint32) * steps.per_update
    planned = steps._replace(planned=steps.planned + more)
    carry = carry._replace(train=carry.train.replace(steps=planned))
    carry, report = jax.lax.while_loop(lambda loop: ~waits(loop[0]).all(), step, (carry, report))
    return marked(carry, jnp.zeros_like(steps.idle)), report


def make_train(
    algorithm: Algorithm,
    total_steps: int,
    *,
    reward: RewardSource | None = None,
    num_points: int = 100,
) -> Callable[[Key, EnvParams], tuple[PyTree, dict[str, Array]]]:
    """A whole run of one seed as one pure function, to be put under `jit` and `vmap`.

    Args:
        algorithm: what to train.
        total_steps: environment steps, rounded up to whole updates.
        reward: default the environment's own. A source that makes host callbacks cannot be
            under a caller's `vmap`; use `train(seeds=...)`, which calls it once for all seeds.
        num_points: points in the returned curves; at most the number of updates.

    Returns:
        `train(key, env_params) -> (TrainState, curves)`, where a curve is `[num_points]`: the
        mean of a metric over the updates between two points, NaN where nothing was counted.

    Raises:
        ConfigError: `total_steps` or `num_points` below 1.
    """
    check_range("total_steps", total_steps, 1)
    check_range("num_points", num_points, 1)
    source = reward or rewards.environment()
    total_updates = math.ceil(total_steps / algorithm.steps_per_update)
    ends = np.linspace(0, total_updates, min(num_points, total_updates) + 1).round().astype(int)
    update = make_update(algorithm, source)

    def train_one(key: Key, env_params: EnvParams) -> tuple[PyTree, dict[str, Array]]:
        carry = initial_carry(algorithm, source, key[None], env_params, total_updates)

        def point(carry: Carry, length: Array) -> tuple[Carry, dict[str, Array]]:
            carry, report = run_updates(update, carry, length)
            return carry, {name: mean.value[0] for name, mean in report.metrics.items()}

        carry, curves = jax.lax.scan(point, carry, jnp.asarray(np.diff(ends), jnp.int32))
        return jax.tree.map(lambda x: x[0], carry.train), curves

    return train_one


def initial_carry(
    algorithm: Algorithm,
    reward: RewardSource,
    keys: Key,
    env_params: EnvParams,
    total_updates: int,
) -> Carry:
    """Train states for every key `[S]`, and one state of the reward source for all of them.

    Raises:
        ConfigError: a source whose labels come late and an algorithm that cannot wait for them;
            or what else the source refuses.
    """

    def init(key: Key) -> PyTree:
        return algorithm.init(key, env_params, total_updates)

    states = jax.vmap(init)(keys)
    # The reward's key comes from the first seed's, folded so that it is nobody else's.
    reward_state = reward.init(jax.random.fold_in(keys[0], 0x5EED))
    if reward.late_by and not has_replay(states):
        raise ConfigError(
            f"the labels of {reward.name} come up to {reward.late_by} updates late, and "
            f"{algorithm.name} has no replay in which their steps could wait: use mode='callback' "
            "(exact, waits for the model) or mode='model' (a reward model scores every step), or "
            "an algorithm with a replay (dqn, sac)."
        )
    if reward.prepare is not None:

        def collected(states: PyTree) -> PyTree:
            return over_seeds(lambda s: algorithm.collect(s, reward.needs), states)[1]

        reward_state = reward.prepare(reward_state, jax.eval_shape(collected, states))
    # A checkpoint keeps no weak types: with them, a program is compiled once more when it resumes.
    return strong(Carry(states, reward_state))
