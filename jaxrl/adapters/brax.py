"""Brax's environments as ours: `jaxrl.make("brax:ant", backend="spring")`.

Brax's `done` is our `terminated`. Its time limit of 1000 steps, which lies in a wrapper that is not
used here, is a parameter. Actions are clipped to [-1, 1], the range that all of Brax's have.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl.errors import MissingExtraError, SpaceError, unknown_name
from jaxrl_envs import Box
from jaxrl_envs.base import Environment, EnvParams, EnvState


@struct.dataclass
class BraxState(EnvState):
    """Steps of the episode, and Brax's own state."""

    inner: Any


class BraxEnv(Environment):
    """One of Brax's environments; `arguments` go to its class."""

    name: str = ""  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, name: str, **arguments: Any) -> None:
        """Makes it; raises MissingExtraError, UnknownNameError, or SpaceError for pixels."""
        try:
            from brax import envs
        except ImportError as error:
            raise MissingExtraError(f"brax:{name} needs Brax: pip install brax") from error
        try:
            self.name, self._env = name, envs.get_environment(name, **arguments)
        except KeyError as error:
            raise unknown_name("environment of Brax's", name, envs._envs) from error
        size = self._env.observation_size
        if not isinstance(size, int):
            raise SpaceError(f"brax:{name} has observations {size}: needed is one vector.")

    @property
    def default_params(self) -> EnvParams:
        """Brax's usual time limit."""
        return EnvParams(max_steps_in_episode=1000)

    def reset_env(self, key: jax.Array, params: Any) -> tuple[jax.Array, BraxState]:
        """The start of an episode."""
        # A state may hold the key, and is selected and stored like any other array.
        inner = self._env.reset(jax.random.key_data(key))
        return inner.obs, BraxState(jnp.int32(0), inner)

    def step_env(
        self, key: jax.Array, state: BraxState, action: jax.Array, params: Any
    ) -> tuple[jax.Array, BraxState, jax.Array, jax.Array, dict[str, Any]]:
        """One step."""
        inner = self._env.step(state.inner, jnp.clip(action, -1.0, 1.0))
        return inner.obs, BraxState(state.time + 1, inner), inner.reward, inner.done > 0.5, {}

    def get_obs(self, state: BraxState, params: Any = None, key: Any = None) -> jax.Array:
        """What Brax shows of a state."""
        return state.inner.obs

    def is_terminated(self, state: BraxState, params: Any) -> jax.Array:
        """Brax's `done`."""
        return state.inner.done > 0.5

    def action_space(self, params: Any = None) -> Box:
        """Numbers in [-1, 1]."""
        return Box(-1.0, 1.0, (self._env.action_size,))

    def observation_space(self, params: Any = None) -> Box:
        """Unbounded."""
        return Box(-jnp.inf, jnp.inf, (self._env.observation_size,))
