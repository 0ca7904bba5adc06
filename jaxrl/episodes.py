"""Rollouts of whole episodes: every lane plays one from its start to its end.

What REINFORCE needs, whose formula sums over an episode's rewards, and GRPO, which compares whole
episodes from one start. Counting instead the episodes that happen to end within a window favours
short ones. Lanes that have ended stay where they are until the last has: their rows are marked
False in the trajectory's `valid` and hold nothing: zeros.

The steps that this takes are as many as the episodes last. `count_steps` makes the `StepCount` that
an algorithm's train state then carries, so that a run still ends after the steps it was given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import ConfigError, known
from jaxrl.restarts import any_lane, select_lanes
from jaxrl.types import (
    Array,
    EnvParams,
    EnvState,
    Key,
    Mean,
    Metrics,
    PyTree,
    Record,
    Recorded,
    StepCount,
    Transition,
)
from jaxrl.vector import step_batch

BLOCK = 32
"""Steps between two looks at whether all episodes have ended."""


class Played(NamedTuple):
    """What `rollout_episodes` gives.

    Attributes:
        trajectory: `[T, B, ...]`, its `valid` saying which rows are steps.
        episodes: means of return and length over the episodes, for metrics.
        num_steps: steps of all lanes together, uint32.
    """

    trajectory: Transition
    episodes: Metrics
    num_steps: Array


def rollout_episodes(
    env: Any,
    params: EnvParams,
    starts: tuple[PyTree, EnvState],
    noise: Callable[[Key], PyTree],
    policy: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]],
    key: Key,
    max_steps: int,
    *,
    running: Array | None = None,
    record: Record = "nothing",
) -> Played:
    """Plays one whole episode in every lane.

    Args:
        env: the environment.
        params: its parameters.
        starts: `(obs, state)` `[B, ...]` to begin with; see `vector.reset_batch`.
        noise: `key -> noise`, the policy's randomness for one step of all lanes.
        policy: `(obs [B, *O], noise) -> (action [B, ...], extras)`.
        key: randomness of the episodes.
        max_steps: where an episode that has not ended is cut off; its last row is then marked
            truncated. Static.
        running: bool `[B]`, False for lanes that play nothing; default all play.
        record: which environment states to keep: none, the last of each episode (`M = B`), or all,
            with those that steps were taken from.

    Returns:
        See `Played`. `T` is `max_steps`, rounded up to whole blocks of `BLOCK` steps; playing ends
        with the block in which the last episode does, for all seeds under a `vmap` together.
    """
    obs, state = starts
    num_envs = jax.tree.leaves(obs)[0].shape[0]
    block = min(BLOCK, max_steps)
    num_blocks = math.ceil(max_steps / block)
    keys = jax.random.split(key, num_blocks)
    running = jnp.ones(num_envs, bool) if running is None else running

    step = partial(_step, env, params, policy, max_steps, record)

    def play_block(lanes: _Lanes, key: Key) -> tuple[_Lanes, Transition]:
        key_noise, key_step = jax.random.split(key)
        xs = (
            jax.vmap(noise)(jax.random.split(key_noise, block)),
            jax.random.split(key_step, block),
        )
        return jax.lax.scan(step, lanes, xs)

    def play(loop: Any) -> Any:
        i, lanes, rows = loop
        lanes, new = play_block(lanes, keys[i])
        rows = jax.tree.map(
            lambda all_, x: jax.lax.dynamic_update_slice_in_dim(all_, x, i * block, 0), rows, new
        )
        return i + 1, lanes, rows

    nothing = jnp.zeros(num_envs)
    lanes = _Lanes(obs, state, running, nothing.astype(jnp.int32), nothing)
    like = jax.eval_shape(play_block, lanes, key)[1]
    rows = _no_rows(like, num_blocks * block, state)
    _, lanes, rows = jax.lax.while_loop(
        lambda loop: (loop[0] < num_blocks) & any_lane(loop[1].running),
        play,
        (jnp.int32(0), lanes, rows),
    )
    return _played(lanes, rows, running, record)


class _Lanes(NamedTuple):
    """The lanes of a rollout, `[B, ...]`; `length` and `total` are of the episode so far."""

    obs: PyTree
    state: EnvState
    running: Array
    length: Array
    total: Array


def _step(
    env: Any,
    params: EnvParams,
    policy: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]],
    max_steps: int,
    record: Record,
    lanes: _Lanes,
    x: tuple[PyTree, Key],
) -> tuple[_Lanes, Transition]:
    """One step of all lanes, `x` its noise and key: where they are then, and its row `[B, ...]`."""
    noise, key = x
    action, extras = policy(lanes.obs, noise)
    next_obs, next_state, reward, terminated, truncated = step_batch(
        env, key, lanes.state, action, params
    )
    # A lane that has ended keeps its last state: what lies beyond may not be defined. Its rows
    # are zeros, because its last observation need not be one that a network can take.
    obs, state = select_lanes(lanes.running, (next_obs, next_state), (lanes.obs, lanes.state))
    seen = (lanes.obs, action, extras)
    seen = select_lanes(lanes.running, seen, jax.tree.map(jnp.zeros_like, seen))
    row_obs, row_action, row_extras = seen
    length = lanes.length + lanes.running
    truncated |= ~terminated & (length >= max_steps)
    row = Transition(
        obs=row_obs,
        action=row_action,
        reward=jnp.where(lanes.running, reward, 0.0),
        terminated=terminated & lanes.running,
        truncated=truncated & lanes.running,
        next_obs=obs,
        extras=row_extras,
        record=(lanes.state, state) if record == "every_step" else None,
        valid=lanes.running,
    )
    going = lanes.running & ~terminated & ~truncated
    return _Lanes(obs, state, going, length, lanes.total + row.reward), row


def _no_rows(like: Transition, length: int, state: EnvState) -> Transition:
    """Room for `length` rows of the shapes of `like`, zeros; `state` are states to fill records."""
    rows = jax.tree.map(
        lambda x: jnp.zeros((length, *x.shape[1:]), x.dtype), like._replace(record=None)
    )
    if like.record is None:
        return rows
    # A state can hold random keys, of which there are no zeros.
    kept = jax.tree.map(lambda x: jnp.broadcast_to(x, (length, *x.shape)), state)
    return rows._replace(record=(kept, kept))


def _played(lanes: _Lanes, rows: Transition, running: Array, record: Record) -> Played:
    """What lanes came to of which these were `running` at first, and all their rows."""
    count = running.sum(dtype=jnp.float32)
    episodes = {
        "episode/return": Mean(lanes.total.sum(), count),
        "episode/length": Mean(lanes.length.sum(dtype=jnp.float32), count),
    }
    if record == "episode_end":
        last = Recorded(lanes.state, lanes.length - 1, jnp.arange(running.shape[0]), running)
        rows = rows._replace(record=last)
    if record == "every_step":
        previous, reached = rows.record
        rows = rows._replace(record=Recorded(reached, None, None, None, previous))
    return Played(rows, episodes, lanes.length.sum(dtype=jnp.uint32))


def count_steps(steps_per_update: int, total_updates: Any) -> StepCount:
    """A count of no steps yet.

    Args:
        steps_per_update: the algorithm's.
        total_updates: the run's, possibly traced.

    Raises:
        ConfigError: a run of more steps than the count can hold.
    """
    if known(total_updates) and int(total_updates) * steps_per_update >= 2**32 - 2**28:
        raise ConfigError(
            f"{int(total_updates) * steps_per_update} steps per seed: where updates play whole "
            "episodes, a run can have up to 4e9. Train longer in several runs."
        )
    zero = jnp.uint32(0)
    return StepCount(zero, zero, jnp.uint32(steps_per_update), jnp.bool_(False))
