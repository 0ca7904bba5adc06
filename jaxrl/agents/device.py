"""The compiled half of playing: all lanes are stepped, looked at and drawn at once."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.agents.actions import Actions
from jaxrl.agents.aids import zoom_of
from jaxrl.agents.settings import AgentConfig
from jaxrl.agents.worlds import World
from jaxrl.environment import supports_describe
from jaxrl.restarts import select_lanes
from jaxrl.types import Array, EnvParams, EnvState, Key
from jaxrl.vector import reset_batch, step_lanes

Described = dict[str, Array]

FOR_TRYING = 0x7121
"""Folded into a step's key: what is only tried does not tell how the real step will turn out."""


class Device(NamedTuple):
    """Compiled functions over `[L]` lanes.

    Attributes:
        start: `key -> states`.
        look: `states -> quantities`, each `[L]`; empty where the environment describes none.
        draw: `(states, lanes [R]) -> frames`, uint8 `[R, H, W, 3]`.
        step: `(states, actions, keys [T], times [L], moving [L]) -> (states, reward, terminated,
            truncated)`; lanes that do not move stay as they are.
        ahead: `(states, keys [T], times [L]) -> (quantities, reward, ends)`, each `[L, C]`, of
            one step with each candidate.
        pick: `(states, lane) -> state` of one lane.
    """

    start: Callable[[Key], EnvState]
    look: Callable[[EnvState], Described]
    draw: Callable[[EnvState, Array], Array]
    step: Callable[..., tuple[EnvState, Array, Array, Array]]
    ahead: Callable[..., tuple[Described, Array, Array]]
    pick: Callable[[EnvState, int], EnvState]


def build(env: Any, params: EnvParams, world: World, config: AgentConfig, lanes: int) -> Device:
    """The functions for one environment and one number of lanes; each compiles when first used."""
    zoom = zoom_of(config)
    tries, _ = candidates(world.actions)

    def describe(state: EnvState) -> Described:
        if not supports_describe(env):
            return {}
        extra = {} if world.measure is None else world.measure(state, params)
        return {**env.describe(state, params), **extra}

    def draw(states: EnvState, chosen: Array) -> Array:
        size = {"height": zoom * config.height, "width": zoom * config.width}
        some = jax.tree.map(lambda x: x[chosen], states)
        return jax.vmap(lambda state: env.render(state, params, **size))(some)

    def step(
        states: EnvState, actions: Array, keys: Key, times: Array, moving: Array
    ) -> tuple[EnvState, Array, Array, Array]:
        own = jax.vmap(lambda t, lane: jax.random.split(keys[t], lanes)[lane])
        drawn = own(times, jnp.arange(lanes))
        _, after, *rest = step_lanes(env, drawn, states, actions, params)
        return select_lanes(moving, after, states), *rest

    def ahead(states: EnvState, keys: Key, times: Array) -> tuple[Described, Array, Array]:
        def one(state: EnvState, key: Key, action: Array) -> tuple[Described, Array, Array]:
            _, after, reward, terminated, _ = env.step_env(key, state, action, params)
            return describe(after), reward, terminated | env.is_truncated(after, params)

        drawn = jax.vmap(lambda t: jax.random.fold_in(keys[t], FOR_TRYING))(times)
        return jax.vmap(jax.vmap(one, (None, None, 0)), (0, 0, None))(states, drawn, tries)

    return Device(
        start=jax.jit(lambda key: reset_batch(env, key, params, lanes)[1]),
        look=jax.jit(jax.vmap(describe)),
        draw=jax.jit(draw),
        step=jax.jit(step),
        ahead=jax.jit(ahead),
        pick=jax.jit(lambda states, lane: jax.tree.map(lambda x: x[lane], states)),
    )


def candidates(actions: Actions) -> tuple[np.ndarray, list[str]]:
    """The actions to look ahead with, `[C]` or `[C, D]`, and their names.

    Of numbers the lowest, the middle and the highest, in all combinations.
    """
    if actions.discrete:
        return np.arange(len(actions.names), dtype=np.int32), list(actions.names)
    ranges = [(n.low, (n.low + n.high) / 2, n.high) for n in actions.numbers[:2]]
    tries = np.array(list(itertools.product(*ranges)), np.float32)
    return tries, [actions.say(action) for action in tries]


@functools.cache
def batch_sizes(lanes: int) -> tuple[int, ...]:
    """The sizes of batches that frames are drawn in: few programs, and few frames for nothing."""
    sizes = [lanes]
    while sizes[-1] > 1:
        sizes.append(-(-sizes[-1] // 8))
    return tuple(reversed(sizes))
