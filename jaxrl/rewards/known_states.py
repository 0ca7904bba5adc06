"""States of which the truth is known, to ask a model about: drawn, and described, before training.

A quantity that a state holds as a field of its own is set to values over the range that is asked
for, in states of random play. Any other is spread as random play spreads it: of many states, half
of them ends of episodes, which are what is mostly rewarded, those are taken whose truths are evenly
ranked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import vector
from jaxrl.environment import env_name, supports_describe, supports_render
from jaxrl.errors import ConfigError, check_range, unknown_name
from jaxrl.types import Key, PyTree

LANES, STEPS = 32, 128
"""How much is played at random: episodes side by side, and their steps."""

SETTABLE: dict[str, tuple[str, float]] = {
    "pole_angle_degrees": ("theta", math.pi / 180),
    "pole_angle": ("theta", 1.0),
    "angle_degrees": ("theta", math.pi / 180),
}
"""Quantity to the field of a state that decides it alone, and the field's size of one unit."""


class KnownStates(NamedTuple):
    """What is asked about.

    Attributes:
        frames: uint8 `[N, H, W, 3]`.
        quantities: all described quantities, each `[N]`.
        truth: the one that answers are compared with, `[N]`.
        unit: its unit.
    """

    frames: np.ndarray
    quantities: dict[str, np.ndarray]
    truth: np.ndarray
    unit: str


def known_states(
    env: Any,
    params: Any,
    truth: str,
    *,
    count: int = 21,
    within: tuple[float, float] | None = None,
    size: tuple[int, int] | None = None,
    seed: int = 0,
) -> KnownStates:
    """States for a probe, drawn by the environment itself.

    Args:
        env: the environment; needs `render` and `describe`.
        params: its parameters.
        truth: the quantity that is to vary.
        count: states.
        within: the range that is asked for, used where the quantity can be set.
        size: height and width in pixels; default the environment's own.
        seed: of the random play.

    Raises:
        ConfigError: fewer than 3 states, or an environment that cannot be drawn or described.
        UnknownNameError: a quantity that it does not describe.
    """
    check_range("num_states", count, 3)
    name = env_name(env)
    if not supports_render(env):
        raise ConfigError(
            f"{name} has no render(state, params, *, height, width), so that there is nothing to "
            "look at: probe another environment, or give it one."
        )
    if not supports_describe(env):
        raise ConfigError(
            f"{name} has no describe(state, params), so that the truth is not known: give it one."
        )
    key = jax.random.key(seed)
    abstract = jax.eval_shape(env.reset_env, key, params)[1]
    if truth not in jax.eval_shape(lambda s: env.describe(s, params), abstract):
        raise unknown_name(f"quantity of {name}", truth, env.quantities)
    states, ended = _random_play(env, params, key)
    field, per_unit = SETTABLE.get(truth, ("", 1.0))
    if within is not None and hasattr(abstract, field):
        rows = np.random.default_rng(seed).integers(0, len(ended), count)
        states = jax.tree.map(lambda leaf: leaf[rows], states)
        values = jnp.linspace(*within, count) * per_unit
        states = states.replace(**{field: values.astype(getattr(states, field).dtype)})
    else:
        rows = _spread(np.asarray(_described(env, params)(states)[truth]), ended, count, seed)
        states = jax.tree.map(lambda leaf: leaf[rows], states)
    described = {k: np.asarray(v) for k, v in _described(env, params)(states).items()}
    draw = {} if size is None else {"height": size[0], "width": size[1]}
    frames = jax.jit(jax.vmap(lambda state: env.render(state, params, **draw)))(states)
    unit = env.quantities[truth][0]
    return KnownStates(np.asarray(frames), described, described[truth].astype(float), unit)


def _described(env: Any, params: Any) -> Callable[[PyTree], dict[str, jax.Array]]:
    return jax.jit(jax.vmap(lambda state: env.describe(state, params)))


def _random_play(env: Any, params: Any, key: Key) -> tuple[PyTree, np.ndarray]:
    """States that random actions lead to, `[N, ...]`, and which of them ended an episode."""
    venv, space = vector.vectorize(env, LANES), env.action_space(params)

    def noise(key: Key) -> PyTree:
        return jax.vmap(space.sample)(jax.random.split(key, LANES))

    def policy(obs: PyTree, action: PyTree) -> tuple[PyTree, PyTree]:
        del obs
        return action, ()

    @jax.jit
    def play(key: Key) -> tuple[PyTree, jax.Array]:
        key_reset, key_play = jax.random.split(key)
        start = venv.reset(key_reset, params)
        _, steps = vector.rollout(venv, params, start, noise, policy, key_play, STEPS, "every_step")
        states = jax.tree.map(
            lambda leaf: leaf.reshape(LANES * STEPS, *leaf.shape[2:]), steps.record.state
        )
        return states, (steps.terminated | steps.truncated).reshape(-1)

    states, ended = play(key)
    return states, np.asarray(ended)


def _spread(truth: np.ndarray, ended: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows of states whose truths are evenly ranked among all, in random order.

    Half of them are ends of episodes, as far as there are any.
    """
    ends = min(count // 2, int(ended.sum()))
    rows = []
    for pool, number in ((ended, ends), (~ended, count - ends)):
        among = np.flatnonzero(pool)
        among = among[np.argsort(truth[among], kind="stable")]
        rows.append(among[np.linspace(0, len(among) - 1, number).round().astype(int)])
    return np.random.default_rng(seed).permutation(np.concatenate(rows))
