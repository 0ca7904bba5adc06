"""Stepping many environments at once, with episodes that restart by themselves.

`vectorize(env, num_envs)` gives a pair of pure functions over a batch of lanes, and `rollout`
scans them. Both call the environment's `step_env` and `is_truncated`, never its auto-resetting
`step`: that one hides the state an episode ended in, which learners need for the bootstrap through
a time limit and reward sources need for their picture.

A lane whose episode ended starts a new one in the same step. How start states are made is a
policy of this module:

``fresh``
    Every episode has a start of its own; `jaxrl.restarts` says how it is drawn. Bias: none.

``pooled``
    `pool_size` start states are drawn when a rollout begins; ended lanes take one of them at
    random. For environments whose reset is dear: on accelerators, where lanes do not draw by need,
    and on a CPU where they still take much of the time, as mazes do (`benchmarks/README.md`).
    Memory: `pool_size` states and observations.
    Bias: none in the distribution of a start state; but episodes that begin in one rollout may
    share theirs, so that their returns are correlated.

Randomness is drawn for the batch, with one key, wherever the environment offers `reset_batch`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import ConfigError, check_range, unknown_name
from jaxrl.restarts import (
    STARTS_AHEAD_BYTES,
    Restart,
    Starts,
    are_small,
    by_need,
    draws_by_need,
    is_cheap,
    num_bytes,
    taking,
)
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
    Transition,
)

Stepped = tuple[PyTree, EnvState, Array, Array, Array]
"""`(next_obs, state, reward, terminated, truncated)`, each `[B, ...]`."""

ResetPolicy = Literal["fresh", "pooled"]
RESET_POLICIES = ("fresh", "pooled")


class VectorState(NamedTuple):
    """A batch of running episodes.

    Attributes:
        env: environment states, `[B, ...]`.
        obs: what the policy sees next, `[B, *O]`.
        episode_return: undiscounted native return so far, float32 `[B]`. `rollout` counts it.
        episode_length: steps so far, int32 `[B]`, likewise.
        pool: `(obs, state)` with leading `[pool_size]`, or None when resets are fresh.
        episodes: means over the episodes that ended in the last rollout.
    """

    env: EnvState
    obs: PyTree
    episode_return: Array
    episode_length: Array
    pool: PyTree
    episodes: Metrics


class VectorStep(NamedTuple):
    """What one step of all lanes gave, each field `[B, ...]`.

    Attributes:
        next_obs: the observation that the action led to, before any reset.
        state: the environment state that it led to, before any reset.
        reward: float32.
        terminated, truncated: bool.
    """

    next_obs: PyTree
    state: EnvState
    reward: Array
    terminated: Array
    truncated: Array


class VectorEnv(NamedTuple):
    """A batch of environments as pure functions.

    Attributes:
        num_envs: `B`.
        reset: `(key, params) -> VectorState`: all lanes at the start of an episode.
        refresh: `(key, state, params) -> VectorState`: to be called when a rollout begins;
            redraws the pool, or does nothing when resets are fresh.
        restart: `(key, state, params) -> Restart`: where lanes go whose episodes end.
        step: `(key, state, action [B, ...], restart, params) -> (VectorState, VectorStep)`.
        starts: `(key, state, params) -> (obs, state)` `[B, ...]`: an episode's start for each
            lane, for a rollout to draw ahead if they are not too large. It gives None where none
            should be drawn ahead.
    """

    num_envs: int
    reset: Callable[[Key, EnvParams], VectorState]
    refresh: Callable[[Key, VectorState, EnvParams], VectorState]
    restart: Callable[[Key, VectorState, EnvParams], Restart]
    step: Callable[[Key, VectorState, PyTree, Restart, EnvParams], tuple[VectorState, VectorStep]]
    starts: Callable[[Key, VectorState, EnvParams], Starts | None]


def no_episodes() -> Metrics:
    """Episode statistics of nothing yet: means over zero episodes."""
    return {
        "episode/return": Mean(jnp.float32(0), jnp.float32(0)),
        "episode/length": Mean(jnp.float32(0), jnp.float32(0)),
    }


def begin(obs: PyTree, state: EnvState, num_envs: int, pool: PyTree = None) -> VectorState:
    """All lanes at the start of an episode, `(obs, state)` `[B, ...]`."""
    return VectorState(
        env=state,
        obs=obs,
        episode_return=jnp.zeros(num_envs, jnp.float32),
        episode_length=jnp.zeros(num_envs, jnp.int32),
        pool=pool,
        episodes=no_episodes(),
    )


def finish_step(
    state: VectorState, stepped: Stepped, restart: Restart
) -> tuple[VectorState, VectorStep]:
    """A step of all lanes, after which those whose episodes ended are at a start.

    Args:
        state: from before the step.
        stepped: what `step_batch` gave.
        restart: where the next episode of a lane begins.
    """
    next_obs, next_state, reward, terminated, truncated = stepped
    ended = terminated | truncated
    seen = jax.tree.map(_widen_like, next_obs, state.obs)
    obs, env = restart(ended, (seen, next_state))
    return state._replace(env=env, obs=obs), VectorStep(
        next_obs, next_state, reward, terminated, truncated
    )


def reset_batch(env: Any, key: Key, params: EnvParams, num_envs: int) -> tuple[PyTree, EnvState]:
    """`(obs, state)` of `num_envs` episode starts, by the environment's own `reset_batch` if any.

    One draw for the batch is several times faster than a threefry key per lane.
    """
    own = getattr(env, "reset_batch", None)
    if own is not None:
        obs, state = own(key, params, num_envs)
    else:
        obs, state = jax.vmap(env.reset_env, (0, None))(jax.random.split(key, num_envs), params)
    return strong(obs), strong(state)


def step_batch(env: Any, key: Key, state: EnvState, action: PyTree, params: EnvParams) -> Stepped:
    """`(next_obs, state, reward, terminated, truncated)` of one step of every lane, no reset."""
    num_envs = jax.tree.leaves(state)[0].shape[0]
    keys = jax.random.split(key, num_envs)  # dead code, and removed, where step_env draws nothing
    return step_lanes(env, keys, state, action, params)


def step_lanes(env: Any, keys: Key, state: EnvState, action: PyTree, params: EnvParams) -> Stepped:
    """`step_batch` with a key for each lane, `[B]`."""
    next_obs, next_state, reward, terminated, _ = jax.vmap(env.step_env, (0, 0, 0, None))(
        keys, state, action, params
    )
    truncated = jax.vmap(env.is_truncated, (0, None))(next_state, params)
    # An environment written in Python numbers (gymnax: `time + 1`) gives weak or wider types; the
    # state must keep the types it was reset with, or the scan's carry changes under way.
    next_state = jax.tree.map(_cast_like, strong(next_state), state)
    return (
        strong(next_obs),
        next_state,
        jnp.asarray(reward, jnp.float32),
        jnp.asarray(terminated, bool),
        jnp.asarray(truncated, bool),
    )


def vectorize(
    env: Any, num_envs: int, *, reset: ResetPolicy = "fresh", pool_size: int | None = None
) -> VectorEnv:
    """Batches an environment.

    Args:
        env: an environment (see `jaxrl.environment.Environment`). One with a method
            `vectorize(num_envs) -> VectorEnv` steps its lanes by that.
        num_envs: number of lanes `B`, at least 1.
        reset: `fresh` or `pooled`; see the module's docstring for what each costs.
        pool_size: start states in the pool; default `num_envs`. Only with `pooled`.

    Raises:
        ConfigError: `num_envs` or `pool_size` below 1, or a pool size without a pool.
        UnknownNameError: a reset policy that does not exist.
    """
    check_range("num_envs", num_envs, 1, whole=True)
    if reset not in RESET_POLICIES:
        raise unknown_name("reset policy", reset, RESET_POLICIES)
    if reset == "fresh" and pool_size is not None:
        raise ConfigError(f"pool_size={pool_size} needs reset='pooled'; with 'fresh' drop it.")
    check_range("pool_size", pool_size, 1, whole=True)
    if hasattr(env, "vectorize"):
        if reset != "fresh":
            raise ConfigError(
                f"reset={reset!r}: {env.name} restarts its lanes itself, which is reset='fresh'."
            )
        return env.vectorize(num_envs)
    size = pool_size or num_envs

    def draw_pool(key: Key, params: EnvParams) -> PyTree:
        return reset_batch(env, key, params, size) if reset == "pooled" else None

    def reset_all(key: Key, params: EnvParams) -> VectorState:
        key_lanes, key_pool = jax.random.split(key)
        obs, state = reset_batch(env, key_lanes, params, num_envs)
        return begin(obs, state, num_envs, draw_pool(key_pool, params))

    def refresh(key: Key, state: VectorState, params: EnvParams) -> VectorState:
        return state._replace(pool=draw_pool(key, params))

    def draw(key: Key, state: VectorState, params: EnvParams, count: int) -> Starts:
        if reset == "fresh":
            return reset_batch(env, key, params, count)
        rows = jax.random.randint(key, (count,), 0, size)
        return jax.tree.map(lambda leaf: leaf[rows], state.pool)

    def starts(key: Key, state: VectorState, params: EnvParams) -> Starts | None:
        ahead = not draws_by_need() or reset == "pooled" or is_cheap(env, num_envs)
        return draw(key, state, params, num_envs) if ahead else None

    def restart(key: Key, state: VectorState, params: EnvParams) -> Restart:
        if draws_by_need():
            return by_need(lambda key, count: draw(key, state, params, count), key)
        return taking(draw(key, state, params, num_envs))

    def step(
        key: Key, state: VectorState, action: PyTree, restart: Restart, params: EnvParams
    ) -> tuple[VectorState, VectorStep]:
        return finish_step(state, step_batch(env, key, state.env, action, params), restart)

    return VectorEnv(num_envs, reset_all, refresh, restart, step, starts)


def rollout(
    venv: VectorEnv,
    params: EnvParams,
    state: VectorState,
    noise: Callable[[Key], PyTree],
    policy: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]],
    key: Key,
    num_steps: int,
    record: Record = "nothing",
) -> tuple[VectorState, Transition]:
    """Steps all lanes `num_steps` times.

    Randomness is drawn before the loop, for all steps at once: on a CPU a call of threefry in a
    loop's body costs more than a step of CartPole. So are starts, where `jaxrl.restarts` says so.

    Args:
        venv: the batch of environments.
        params: the environment's parameters.
        state: where the lanes are.
        noise: `key -> noise`, the policy's randomness for one step of all lanes.
        policy: `(obs [B, *O], noise) -> (action [B, ...], extras)`; called once per step for all
            lanes together.
        key: randomness of the rollout.
        num_steps: `T`.
        record: which environment states to keep: none, those that episodes ended in (the first
            `B` of the rollout, in order of time), or all, with those that steps were taken from.

    Returns:
        The new state, its `episodes` holding the means over the episodes that ended in this
        rollout, and the trajectory `[T, B, ...]`.
    """
    key_refresh, key_noise, key_step, key_start = jax.random.split(key, 4)
    state = venv.refresh(key_refresh, state, params)
    start_keys = jax.random.split(key_start, num_steps)
    starts = _starts_ahead(venv, start_keys, state, params)
    xs = (
        jax.vmap(noise)(jax.random.split(key_noise, num_steps)),
        jax.random.split(key_step, num_steps),
        start_keys,
        starts,
    )

    def body(state: VectorState, x: Any) -> tuple[VectorState, Any]:
        noise, key, start_key, start = x
        action, extras = policy(state.obs, noise)
        restart = venv.restart(start_key, state, params) if start is None else taking(start)
        next_state, step = venv.step(key, state, action, restart, params)
        transition = Transition(
            obs=state.obs,
            action=action,
            reward=step.reward,
            terminated=step.terminated,
            truncated=step.truncated,
            next_obs=step.next_obs,
            extras=extras,
            record=_kept(record, state.env, step.state),
        )
        return next_state, transition

    end, trajectory = jax.lax.scan(body, state, xs)
    ended = trajectory.terminated | trajectory.truncated
    end = _with_episodes(state, end, trajectory.reward, ended)
    if record != "nothing":
        kept = _record(trajectory.record, ended, record, venv.num_envs)
        trajectory = trajectory._replace(record=kept)
    return end, trajectory


def _starts_ahead(
    venv: VectorEnv, keys: Key, state: VectorState, params: EnvParams
) -> Starts | None:
    """Starts `[T, B, ...]` of all steps, or None where they are better drawn in the loop."""
    each = jax.eval_shape(lambda key: venv.starts(key, state, params), keys[0])
    if each is None or len(keys) * num_bytes(each) > STARTS_AHEAD_BYTES:
        return None
    if draws_by_need() and not are_small(each, venv.num_envs):
        return None
    return jax.vmap(lambda key: venv.starts(key, state, params))(keys)


def _with_episodes(
    before: VectorState, end: VectorState, reward: Array, ended: Array
) -> VectorState:
    """`end` with what a rollout `[T, B]` that began at `before` tells of its episodes.

    Counted over the whole rollout and not from step to step, which takes the counters out of the
    loop: in steps as cheap as CartPole's they are a quarter of its kernels.
    """
    num_steps = ended.shape[0]
    step = jnp.arange(num_steps, dtype=jnp.int32)[:, None]
    last = jnp.where(ended, step, -1).max(0)  # the last step of each lane's last whole episode
    whole = step <= last
    none = last < 0
    so_far, length = before.episode_return, before.episode_length
    in_whole = jnp.where(whole, reward, 0.0).sum(0) + jnp.where(none, 0.0, so_far)
    in_running = jnp.where(whole, 0.0, reward).sum(0) + jnp.where(none, so_far, 0.0)
    steps_in_whole = last + 1 + jnp.where(none, 0, length)
    count = ended.sum(dtype=jnp.float32)
    return end._replace(
        episode_return=in_running,
        episode_length=num_steps - 1 - last + jnp.where(none, length, 0),
        episodes={
            "episode/return": Mean(in_whole.sum(), count),
            "episode/length": Mean(steps_in_whole.sum(dtype=jnp.float32), count),
        },
    )


def _kept(record: Record, previous: EnvState, state: EnvState) -> PyTree:
    """What a step leaves for `_record`."""
    if record == "nothing":
        return None
    return (previous, state) if record == "every_step" else state


def _record(states: EnvState, ended: Array, record: Record, limit: int) -> Recorded:
    """The states `[T, B, ...]` of a rollout, all of them or the first `limit` episode ends."""
    if record == "every_step":
        previous, states = states
        return Recorded(states, None, None, None, previous)
    time, lane = jnp.nonzero(ended, size=limit, fill_value=-1)
    return Recorded(jax.tree.map(lambda x: x[time, lane], states), time, lane, time >= 0)


def _widen_like(new: Array, old: Array) -> Array:
    """A step may see in a narrower type than a start; lanes at either must share one."""
    return new if new.dtype == old.dtype else new.astype(jnp.promote_types(new.dtype, old.dtype))


def _cast_like(new: Array, old: Array) -> Array:
    return new if new.dtype == old.dtype else new.astype(old.dtype)


def strong(tree: PyTree) -> PyTree:
    """The same leaves as arrays whose types no longer adapt to what they meet."""

    def strengthen(x: Any) -> Array:
        x = jnp.asarray(x)
        weak = getattr(x, "weak_type", False)  # random keys are neither
        return jax.lax.convert_element_type(x, x.dtype) if weak else x

    return jax.tree.map(strengthen, tree)
