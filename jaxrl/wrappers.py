"""Wrappers: environments made of an environment, with other observations or other actions.

    env, params = jaxrl.make("CartPole-v1")
    env = FrameStack(PixelObservation(env, 42, 42), 4)

A wrapper is an environment in every respect: it steps by `vector.py`, trains, and passes
`check_env(deep=True)`. What it does not change is its environment's: parameters, `render` and
`describe` (given the wrapper's own states), `quantities`. Its name tells what it wraps; to train
one from the command line, or to open its run folders again, register a factory that makes it:
`jaxrl.register("CartPole-pixels", make_it)`.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl import spaces, vector
from jaxrl.environment import env_name, supports_render
from jaxrl.errors import ConfigError, SpaceError, check_range
from jaxrl.types import Array, EnvParams, EnvState, Key, PyTree
from jaxrl_envs import Box
from jaxrl_envs.base import Environment


class Wrapper(Environment):
    """An environment around another. On its own it changes nothing.

    Subclasses override what they change. One whose state holds more than the environment's also
    overrides `inner`.
    """

    def __init__(self, env: Any) -> None:
        """Wraps an environment."""
        self.env = env

    def __getattr__(self, name: str) -> Any:
        """What only some environments have: `render`, `describe`, and attributes of their own."""
        # Not made yet, or the environment's own affair: its own lanes would go past the wrapper.
        if name.startswith("_") or name in ("env", "vectorize"):
            raise AttributeError(name)
        value = getattr(self.env, name)
        if name not in ("render", "describe"):
            return value

        def of_own_state(state: Any, params: EnvParams, **settings: Any) -> Any:
            return value(self.inner(state), params, **settings)

        return of_own_state

    @property
    def name(self) -> str:
        """The wrapper around the name of what it wraps."""
        return f"{type(self).__name__}({env_name(self.env)})"

    @property
    def default_params(self) -> EnvParams:
        """The environment's."""
        return self.env.default_params

    @property
    def quantities(self) -> dict[str, tuple[str, str]]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The environment's."""
        return getattr(self.env, "quantities", {})

    def inner(self, state: Any) -> EnvState:
        """The environment's state in the wrapper's."""
        return state

    def reset_env(self, key: Key, params: EnvParams) -> tuple[PyTree, Any]:
        """The start of an episode."""
        obs, state = self.env.reset_env(key, params)
        return self.begin(obs, state, params)

    def reset_batch(self, key: Key, params: EnvParams, num_envs: int) -> tuple[PyTree, Any]:
        """The starts of `num_envs` episodes, drawn as the environment draws them."""
        obs, state = vector.reset_batch(self.env, key, params, num_envs)
        return jax.vmap(self.begin, (0, 0, None))(obs, state, params)

    def begin(self, obs: PyTree, state: EnvState, params: EnvParams) -> tuple[PyTree, Any]:
        """The wrapper's observation and state of an episode's start."""
        return obs, state

    def step_env(
        self, key: Key, state: Any, action: PyTree, params: EnvParams
    ) -> tuple[PyTree, Any, Array, Array, dict[str, Any]]:
        """One step of the environment."""
        return self.env.step_env(key, state, action, params)

    def get_obs(self, state: Any, params: Any = None, key: Key | None = None) -> PyTree:
        """What is seen of a state."""
        return self.env.get_obs(self.inner(state), params, key)

    def is_terminated(self, state: Any, params: EnvParams) -> Array:
        """Whether the environment's rules ended the episode."""
        return self.env.is_terminated(self.inner(state), params)

    def is_truncated(self, state: Any, params: EnvParams) -> Array:
        """Whether a time limit cut the episode off."""
        return self.env.is_truncated(self.inner(state), params)

    def action_space(self, params: EnvParams | None = None) -> Any:
        """The environment's."""
        return self.env.action_space(self.default_params if params is None else params)

    def observation_space(self, params: EnvParams | None = None) -> Any:
        """The environment's."""
        return self.env.observation_space(self.default_params if params is None else params)


class ObservationWrapper(Wrapper):
    """A wrapper whose observation is a function of the environment's observation and state."""

    def see(self, obs: PyTree, state: EnvState, params: EnvParams) -> Array:
        """What is seen instead of `obs`."""
        raise TypeError(f"{type(self).__name__} does not define see.")

    def begin(self, obs: PyTree, state: EnvState, params: EnvParams) -> tuple[Array, EnvState]:
        """The start as it is seen."""
        return self.see(obs, state, params), state

    def step_env(
        self, key: Key, state: EnvState, action: PyTree, params: EnvParams
    ) -> tuple[Array, EnvState, Array, Array, dict[str, Any]]:
        """One step as it is seen."""
        obs, state, reward, terminated, info = self.env.step_env(key, state, action, params)
        return self.see(obs, state, params), state, reward, terminated, info

    def get_obs(self, state: EnvState, params: Any = None, key: Key | None = None) -> Array:
        """What is seen of a state."""
        return self.see(self.env.get_obs(state, params, key), state, params)


class PixelObservation(ObservationWrapper):
    """Observations are pictures, drawn by the environment's `render` on the device.

    Args:
        env: an environment that can be drawn.
        height, width: of the picture, at least 16 pixels.
        grayscale: one channel of luminance (ITU-R BT.601) instead of three of colour.
    """

    def __init__(
        self, env: Any, height: int = 84, width: int = 84, *, grayscale: bool = False
    ) -> None:
        """Wraps an environment; raises ConfigError if it cannot be drawn, or not so small."""
        super().__init__(env)
        if not supports_render(env):
            raise ConfigError(
                f"{env_name(env)} cannot be seen as pixels: it has no render(state, params, *, "
                "height, width)."
            )
        check_range("height", height, 16, whole=True)
        check_range("width", width, 16, whole=True)
        self.height, self.width, self.grayscale = height, width, grayscale

    def see(self, obs: PyTree, state: EnvState, params: EnvParams) -> Array:
        """The picture, uint8 `[height, width, 3 or 1]`."""
        del obs
        image = self.env.render(state, params, height=self.height, width=self.width)
        if not self.grayscale:
            return image
        luminance = image.astype(jnp.float32) @ jnp.array([0.299, 0.587, 0.114])
        return jnp.round(luminance).astype(jnp.uint8)[..., None]

    def observation_space(self, params: EnvParams | None = None) -> Box:
        """Bytes."""
        return Box(0, 255, (self.height, self.width, 1 if self.grayscale else 3), jnp.uint8)


class FlattenObservation(ObservationWrapper):
    """Observations are vectors: an array's elements, or those of all arrays of a Dict or Tuple.

    The arrays of a tree are joined in jax's order (the keys of a Dict sorted), as float32.
    """

    def see(self, obs: PyTree, state: EnvState, params: EnvParams) -> Array:
        """All elements, `[O]`."""
        leaves = jax.tree.leaves(obs)
        if len(leaves) == 1:
            return jnp.ravel(leaves[0])
        return jnp.concatenate([jnp.ravel(leaf).astype(jnp.float32) for leaf in leaves])

    def observation_space(self, params: EnvParams | None = None) -> Box:
        """The bounds of all elements."""
        space = super().observation_space(params)
        parts = _leaves(space)
        sizes = [math.prod(part.shape) for part in parts]
        if len(parts) == 1 and spaces.is_box(space):
            low, high = (
                jnp.broadcast_to(bound, space.shape).ravel() for bound in (space.low, space.high)
            )
            return Box(low, high, (sizes[0],), space.dtype)
        bounds = [
            (jnp.zeros(size), jnp.full(size, part.n - 1.0))
            if spaces.is_discrete(part)
            else tuple(bound.ravel() for bound in spaces.bounds(part))
            for part, size in zip(parts, sizes, strict=True)
        ]
        low, high = (jnp.concatenate(side) for side in zip(*bounds, strict=True))
        return Box(low, high, (sum(sizes),))


def _leaves(space: Any) -> list[Any]:
    """The spaces of one array each that a space is made of, in the order of `jax.tree.leaves`."""
    inside = getattr(space, "spaces", None)
    if inside is not None:
        parts = [inside[k] for k in sorted(inside)] if isinstance(inside, dict) else list(inside)
        return [leaf for part in parts for leaf in _leaves(part)]
    if not (spaces.is_discrete(space) or spaces.is_box(space)):
        raise SpaceError(f"an observation space of boxes is needed, this one has {space!r}.")
    return [space]


@struct.dataclass
class FrameStackState:
    """The environment's state, and the frames that are seen: oldest first, `[n, *O]`."""

    env_state: EnvState
    frames: Array


class FrameStack(Wrapper):
    """Observations are the last `n`, joined along the last axis, the newest last.

    An episode begins with `n` times its first observation. `[O]` becomes `[n * O]`, and
    `[H, W, C]` `[H, W, n * C]`.

    Args:
        env: an environment whose observation is one array with an axis.
        num_frames: `n`.
    """

    def __init__(self, env: Any, num_frames: int = 4) -> None:
        """Wraps an environment; raises ConfigError below 1, SpaceError for an observation tree."""
        super().__init__(env)
        check_range("num_frames", num_frames, 1, whole=True)
        if not spaces.observation_shape(super().observation_space()):
            raise SpaceError("observations without an axis cannot be stacked: flatten them first.")
        self.num_frames = num_frames

    def inner(self, state: FrameStackState) -> EnvState:
        """The environment's state in the wrapper's."""
        return state.env_state

    def begin(
        self, obs: Array, state: EnvState, params: EnvParams
    ) -> tuple[Array, FrameStackState]:
        """The first observation, `n` times."""
        stacked = FrameStackState(state, jnp.stack([obs] * self.num_frames))
        return self.get_obs(stacked), stacked

    def step_env(
        self, key: Key, state: FrameStackState, action: PyTree, params: EnvParams
    ) -> tuple[Array, FrameStackState, Array, Array, dict[str, Any]]:
        """One step; the oldest frame goes."""
        obs, env_state, reward, terminated, info = self.env.step_env(
            key, state.env_state, action, params
        )
        state = FrameStackState(env_state, jnp.concatenate([state.frames[1:], obs[None]]))
        return self.get_obs(state), state, reward, terminated, info

    def get_obs(self, state: FrameStackState, params: Any = None, key: Key | None = None) -> Array:
        """The frames side by side."""
        return jnp.concatenate(list(state.frames), axis=-1)

    def observation_space(self, params: EnvParams | None = None) -> Box:
        """The environment's bounds, `n` times along the last axis."""
        space = super().observation_space(params)
        low, high = (
            jnp.concatenate([jnp.broadcast_to(bound, space.shape)] * self.num_frames, axis=-1)
            for bound in (space.low, space.high)
        )
        return Box(low, high, dtype=space.dtype)


@struct.dataclass
class StickyState:
    """The environment's state, the action done last, and whether there was one."""

    env_state: EnvState
    action: PyTree
    acted: Array


class StickyActions(Wrapper):
    """At each step the last action is repeated with probability `p`, whatever is asked for.

    Machado et al. 2018, arXiv:1709.06009, §5: randomness against policies that learn a sequence
    by heart. An episode's first action is the one asked for.

    Args:
        env: an environment.
        repeat_probability: `p`; 0.25 is that paper's.
    """

    def __init__(self, env: Any, repeat_probability: float = 0.25) -> None:
        """Wraps an environment; raises ConfigError for what is no probability."""
        super().__init__(env)
        check_range("repeat_probability", repeat_probability, 0, 1)
        self.repeat_probability = repeat_probability

    def inner(self, state: StickyState) -> EnvState:
        """The environment's state in the wrapper's."""
        return state.env_state

    def begin(self, obs: PyTree, state: EnvState, params: EnvParams) -> tuple[PyTree, StickyState]:
        """The start, with nothing done yet."""
        action = jax.eval_shape(self.action_space(params).sample, jax.random.key(0))
        nothing = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), action)
        return obs, StickyState(state, nothing, jnp.bool_(False))

    def step_env(
        self, key: Key, state: StickyState, action: PyTree, params: EnvParams
    ) -> tuple[PyTree, StickyState, Array, Array, dict[str, Any]]:
        """One step of the action asked for, or of the last one."""
        key_sticky, key_step = jax.random.split(key)
        repeat = jax.random.bernoulli(key_sticky, self.repeat_probability) & state.acted
        action = jax.tree.map(
            lambda last, new: jnp.where(repeat, last, jnp.asarray(new, last.dtype)),
            state.action,
            action,
        )
        obs, env_state, reward, terminated, info = self.env.step_env(
            key_step, state.env_state, action, params
        )
        return obs, StickyState(env_state, action, jnp.bool_(True)), reward, terminated, info
