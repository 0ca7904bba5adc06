"""Stored steps of an environment, on which programs are tried before anything is trained.

They must show what training will meet: starts, ends, and what extreme behaviour leads to. So some
lanes act at random, some hold on to a random action for a while, some do the same extreme thing
all the time, and some, where an actor is given, behave as it does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import spaces, vector
from jaxrl.environment import episode_limit
from jaxrl.episodes import rollout_episodes
from jaxrl.errors import check_range
from jaxrl.restarts import select_lanes
from jaxrl.rewards.program.schema import schema_of
from jaxrl.types import Array, EnvParams, Key

NUM_LANES = 64
NUM_STEPS = 256
HOLD = 8
"""Steps for which a lane of the second kind holds on to an action."""
SHARE_OF_ENDS = 8
"""One row in as many is kept for steps that ended an episode."""
WIDE = 1e6
"""A bound of an action beyond which it counts as none."""

Actor = Callable[[Array, Key], Array]
"""`(obs [B, *O], key) -> action [B, ...]`."""


class Steps(NamedTuple):
    """Steps by their described quantities; numpy arrays with a leading `[N]`."""

    state: dict[str, np.ndarray]
    action: np.ndarray
    next_state: dict[str, np.ndarray]

    @property
    def size(self) -> int:
        """`N`."""
        return len(self.action)

    def row(self, index: int) -> Steps:
        """One step, its arrays without the leading axis."""
        return jax.tree.map(lambda x: x[index], self)

    def text(self, index: int, names: tuple[str, ...]) -> str:
        """One step in words, by some of its quantities."""
        one = self.row(index)
        said = [f"action={_short(one.action)}"]
        for which, values in (("state", one.state), ("next_state", one.next_state)):
            said += [f"{which}.{name}={_short(values[name])}" for name in names]
        return ", ".join(said)


def _short(value: Any) -> str:
    return np.array2string(np.asarray(value), precision=4, threshold=6)


def collect_steps(
    env: Any,
    params: EnvParams | None = None,
    *,
    count: int = 1024,
    seed: int = 0,
    actor: Actor | None = None,
) -> Steps:
    """Plays an environment in the ways that the module's docstring says, and keeps some steps.

    Args:
        env: an environment with `describe`.
        params: its parameters; default `env.default_params`.
        count: `N`, at most 16384.
        seed: of all randomness.
        actor: whose behaviour is to be among them; default none's.

    Raises:
        ConfigError: a count out of range, or an environment without `describe`.
    """
    check_range("count", count, 1, NUM_LANES * NUM_STEPS)
    schema_of(env, params)
    params = env.default_params if params is None else params
    key_actions, key_play = jax.random.split(jax.random.key(seed))
    actions = _actions(env.action_space(params), key_actions)
    play = jax.jit(lambda actions, key: _play(env, params, actions, key, actor))
    steps, ended = jax.tree.map(np.asarray, play(actions, key_play))
    rows = _chosen(ended.ravel(), count, np.random.default_rng(seed))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[rows], steps)


def steps_of_episode(
    env: Any,
    params: EnvParams,
    actor: Actor,
    *,
    seed: int = 0,
    max_steps: int | None = None,
) -> Steps:
    """The steps of one episode of an actor, in order: a trajectory to rank by; raises as above."""
    schema_of(env, params)
    limit = episode_limit(env, params, max_steps, "max_steps")
    key_start, key_play = jax.random.split(jax.random.key(seed))
    starts = vector.reset_batch(env, key_start, params, 1)

    @jax.jit
    def play(key: Key) -> tuple[Steps, Array]:
        t = rollout_episodes(
            env,
            params,
            starts,
            lambda key: key,
            lambda obs, key: (actor(obs, key), ()),
            key,
            limit,
            record="every_step",
        ).trajectory
        return _described(env, params, t.record.previous, t.action, t.record.state), t.valid

    steps, valid = jax.tree.map(np.asarray, play(key_play))
    return jax.tree.map(lambda x: x[:, 0][valid[:, 0]], steps)


def _play(
    env: Any, params: EnvParams, actions: Array, key: Key, actor: Actor | None
) -> tuple[Steps, Array]:
    """Steps `[T, B]` of given actions, of which the last quarter of lanes takes the actor's."""
    venv = vector.vectorize(env, NUM_LANES)
    key_reset, key = jax.random.split(key)
    by_actor = jnp.arange(NUM_LANES) >= NUM_LANES * 3 // 4

    def body(state: vector.VectorState, x: Any) -> tuple[vector.VectorState, Any]:
        action, key = x
        key_step, key_start, key_act = jax.random.split(key, 3)
        if actor is not None:
            action = select_lanes(by_actor, actor(state.obs, key_act), action)
        restart = venv.restart(key_start, state, params)
        new, step = venv.step(key_step, state, action, restart, params)
        return new, (state.env, action, step.state, step.terminated | step.truncated)

    keys = jax.random.split(key, NUM_STEPS)
    _, (before, action, after, ended) = jax.lax.scan(
        body, venv.reset(key_reset, params), (actions, keys)
    )
    return _described(env, params, before, action, after), ended


def _described(env: Any, params: EnvParams, before: Any, action: Array, after: Any) -> Steps:
    describe = jax.vmap(jax.vmap(lambda state: env.describe(state, params)))
    return Steps(describe(before), action, describe(after))


def _actions(space: Any, key: Key) -> Array:
    """Actions `[T, B, ...]`: by quarters of lanes: held, extreme, and two at random."""
    shape = (NUM_STEPS, NUM_LANES)
    if spaces.is_discrete(space):
        random = jax.random.randint(key, shape, 0, space.n)
        extreme = jnp.arange(NUM_LANES) % space.n
    else:
        low, high = spaces.bounds(space)
        low, high = jnp.where(low < -WIDE, -1.0, low), jnp.where(high > WIDE, 1.0, high)
        random = jax.random.uniform(key, (*shape, *space.shape), minval=low, maxval=high)
        corners = jax.random.randint(
            jax.random.fold_in(key, 1), (NUM_LANES, *space.shape), 0, 3
        )  # the lower bound, the middle or the upper bound of each element
        extreme = low + (high - low) * corners / 2
    held = jnp.repeat(random[::HOLD], HOLD, axis=0)
    quarter = NUM_LANES // 4
    return (
        random.at[:, :quarter]
        .set(held[:, :quarter])
        .at[:, quarter : 2 * quarter]
        .set(extreme[quarter : 2 * quarter])
    )


def _chosen(ended: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows to keep: ends of episodes up to their share, any others beside them."""
    ends = rng.permutation(np.flatnonzero(ended))[: count // SHARE_OF_ENDS]
    others = np.setdiff1d(np.arange(ended.size), ends)
    return np.sort(np.concatenate([ends, rng.permutation(others)[: count - len(ends)]]))
