"""Jumanji's environments as ours: `jaxrl.make("jumanji:Game2048-v1")`.

Observations are float32; several arrays (masks of actions too) are joined into one vector. A last
step terminated if its discount is 0, as is that of most of Jumanji's time limits.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl.adapters import NoTimeLimit
from jaxrl.errors import ConfigError, MissingExtraError, SpaceError
from jaxrl_envs import Box, Discrete
from jaxrl_envs.base import Environment, EnvParams, EnvState


@struct.dataclass
class JumanjiState(EnvState):
    """Steps of the episode, Jumanji's own state, and its time step."""

    inner: Any
    step: Any


class JumanjiEnv(Environment):
    """One of Jumanji's environments; `arguments` go to `jumanji.make`."""

    name: str = ""  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, name: str, **arguments: Any) -> None:
        """Makes it; raises MissingExtraError, ConfigError, or SpaceError for its actions."""
        try:
            import jumanji
        except ImportError as error:
            raise MissingExtraError("Jumanji is needed: pip install jumanji") from error
        try:
            self.name, self._env = name, jumanji.make(name, **arguments)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"Jumanji cannot make {name!r}: {error}") from error
        self.action_space()

    @property
    def default_params(self) -> Any:
        """Jumanji's time limit, if it has one."""
        limit = getattr(self._env, "time_limit", None)
        return NoTimeLimit() if limit is None else EnvParams(int(limit))

    def reset_env(self, key: jax.Array, params: Any) -> tuple[jax.Array, JumanjiState]:
        """The start of an episode."""
        # A state holds the key, and is selected and stored like any other array.
        state = JumanjiState(jnp.int32(0), *self._env.reset(jax.random.key_data(key)))
        return self.get_obs(state), state

    def step_env(
        self, key: jax.Array, state: JumanjiState, action: jax.Array, params: Any
    ) -> tuple[jax.Array, JumanjiState, jax.Array, jax.Array, dict[str, Any]]:
        """One step."""
        state = JumanjiState(state.time + 1, *self._env.step(state.inner, action))
        return self.get_obs(state), state, state.step.reward, self.is_terminated(state, params), {}

    def get_obs(self, state: JumanjiState, params: Any = None, key: Any = None) -> jax.Array:
        """What Jumanji shows, as one array."""
        leaves = [x.astype(jnp.float32) for x in jax.tree.leaves(state.step.observation)]
        return leaves[0] if len(leaves) == 1 else jnp.concatenate([x.ravel() for x in leaves])

    def is_terminated(self, state: JumanjiState, params: Any) -> jax.Array:
        """Whether the last step led to a state without value."""
        return state.step.last() & (state.step.discount == 0)

    def is_truncated(self, state: JumanjiState, params: Any) -> jax.Array:
        """Whether the episode ended for another reason, or the time limit is reached."""
        over = state.time >= getattr(params, "max_steps_in_episode", jnp.inf)
        return over | (state.step.last() & (state.step.discount > 0))

    def action_space(self, params: Any = None) -> Any:
        """Jumanji's."""
        spec = self._env.action_spec
        if hasattr(spec, "num_values") and spec.shape == ():
            return Discrete(int(spec.num_values))
        if hasattr(spec, "minimum") and jnp.issubdtype(spec.dtype, jnp.floating):
            return Box(spec.minimum, spec.maximum, spec.shape)
        raise SpaceError(f"Jumanji's {spec} as actions: needed is a whole number or a vector.")

    def observation_space(self, params: Any = None) -> Box:
        """Unbounded."""
        obs, _ = jax.eval_shape(self.reset_env, jax.random.key(0), params)
        return Box(-jnp.inf, jnp.inf, obs.shape)
