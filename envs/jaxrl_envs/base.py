"""The base class of our environments: gymnax 1.0's shape, without gymnax's imports.

`import gymnax` brings seaborn, pandas and matplotlib, seconds of them; an environment needs none.
What is here has the same methods with the same arguments, so that our environments work with
gymnax's `register` and wrappers.

To write an environment, subclass `Environment` and give it `step_env`, `reset_env`, `get_obs`,
`is_terminated`, `action_space`, `observation_space` and `default_params`. Three more are looked up
where they are needed: `render(state, params, *, height, width) -> uint8 [H, W, 3]`,
`describe(state, params) -> dict[str, Array]` with its units in `quantities`, and
`reset_batch(key, params, num_envs) -> (obs, state)`, `[B, ...]`, where one draw can serve many
lanes: a threefry key per lane is most of what a cheap environment costs. Its rows are independent
and distributed as what `reset_env` gives: any number of them may be thrown away. It says that a
start is cheap, and small ones are then drawn for every lane and step: leave it out of an
environment whose starts are dear.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct


def is_number(value: Any) -> bool:
    """Whether a value is a plain number: not traced, and not an array on its way through jax."""
    return isinstance(value, int | float | np.number)


def check_whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """The value of a setting as an int; raises ValueError for no whole number in that range."""
    if is_number(value) and value % 1 == 0 and low <= value and (high is None or value <= high):
        return int(value)
    needed = f"of at least {low}" if high is None else f"from {low} to {high}"
    raise ValueError(f"{name}={value!r}: needed is a whole number {needed}.")


@struct.dataclass
class EnvState:
    """What every state holds: steps since the episode began, int32."""

    time: jax.Array


@struct.dataclass
class EnvParams:
    """What every environment's parameters hold: the time limit, in steps."""

    max_steps_in_episode: int = 1


class Environment:
    """An environment as pure functions of key, state, action and parameters.

    Attributes:
        quantities: for environments with `describe`: name to `(unit, meaning)`.
    """

    quantities: ClassVar[dict[str, tuple[str, str]]] = {}

    @property
    def name(self) -> str:
        """The name under which it is registered."""
        return type(self).__name__

    @property
    def default_params(self) -> Any:
        """Parameters as in the original."""
        return EnvParams()

    @property
    def num_actions(self) -> int:
        """Number of discrete actions, or dimensions of a continuous one."""
        space = self.action_space(self.default_params)
        return space.n if hasattr(space, "n") else space.shape[0]

    def step_env(
        self, key: jax.Array, state: Any, action: Any, params: Any
    ) -> tuple[Any, Any, jax.Array, jax.Array, dict[str, Any]]:
        """One step: `(obs, state, reward, terminated, info)`. Never resets."""
        raise TypeError(f"{type(self).__name__} does not define step_env.")

    def reset_env(self, key: jax.Array, params: Any) -> tuple[Any, Any]:
        """The start of an episode: `(obs, state)`."""
        raise TypeError(f"{type(self).__name__} does not define reset_env.")

    def get_obs(self, state: Any, params: Any = None, key: jax.Array | None = None) -> Any:
        """What the agent sees of a state."""
        raise TypeError(f"{type(self).__name__} does not define get_obs.")

    def is_terminated(self, state: Any, params: Any) -> jax.Array:
        """Whether the episode ended by the environment's rules, a time limit not being one."""
        raise TypeError(f"{type(self).__name__} does not define is_terminated.")

    def action_space(self, params: Any = None) -> Any:
        """The space of actions."""
        raise TypeError(f"{type(self).__name__} does not define action_space.")

    def observation_space(self, params: Any = None) -> Any:
        """The space of observations."""
        raise TypeError(f"{type(self).__name__} does not define observation_space.")

    def is_truncated(self, state: Any, params: Any) -> jax.Array:
        """Whether the time limit is reached."""
        return state.time >= params.max_steps_in_episode

    def check_action(self, action: Any, params: Any = None) -> None:
        """Raises ValueError for a concrete action outside the action space, or of another shape.

        To be called first by `step_env`. An action that is being traced has no value to look at;
        inside `jit` an environment takes it for the nearest one that exists.
        """
        if isinstance(action, jax.core.Tracer):
            return
        space, given = self.action_space(params), np.asarray(action)
        whole = hasattr(space, "n")
        # numpy, because a jax operation would be traced where the state is.
        low, high = (0, space.n - 1) if whole else (np.asarray(space.low), np.asarray(space.high))
        fits = given.dtype.kind in "biuf" and given.shape == tuple(space.shape)
        if not (fits and np.all((given >= low) & (given <= high)) and not (whole and given % 1)):
            raise ValueError(f"action={action} of {self.name}: needed is one of {space}.")

    def observe(self, key: jax.Array, state: Any, action: Any, params: Any) -> Any:
        """Gymnax 1.0's hook: what is seen of a state and the action that led to it."""
        del action
        return self.get_obs(state, params, key)

    def is_terminal(self, state: Any, params: Any) -> jax.Array:
        """Gymnax's older name of `is_terminated`."""
        return self.is_terminated(state, params)

    def discount(self, state: Any, params: Any) -> jax.Array:
        """0 where the episode terminated, else 1."""
        return jnp.where(self.is_terminated(state, params), 0.0, 1.0)

    @partial(jax.jit, static_argnames=("self",))
    def reset(self, key: jax.Array, params: Any = None) -> tuple[Any, Any]:
        """`reset_env` with default parameters, compiled."""
        return self.reset_env(key, self.default_params if params is None else params)

    @partial(jax.jit, static_argnames=("self",))
    def step(
        self, key: jax.Array, state: Any, action: Any, params: Any = None
    ) -> tuple[Any, Any, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        """`step_env` and a reset where the episode ended, as gymnax 1.0 does it.

        Convenient by hand. jaxrl's own stepping calls `step_env`, to see where episodes ended.

        Returns:
            `(obs, state, reward, terminated, truncated, info)`; `info["final_observation"]` is
            the observation from before the reset.
        """
        params = self.default_params if params is None else params
        key_step, key_reset = jax.random.split(key)
        last_obs, last_state, reward, terminated, info = self.step_env(
            key_step, state, action, params
        )
        truncated = self.is_truncated(last_state, params)
        ended = terminated | truncated
        obs, state = jax.tree.map(
            lambda new, last: jnp.where(ended, new, last),
            self.reset_env(key_reset, params),
            (last_obs, last_state),
        )
        info = {
            **info,
            "terminated": terminated,
            "truncated": truncated,
            "final_observation": last_obs,
        }
        return obs, state, reward, terminated, truncated, info
