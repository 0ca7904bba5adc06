"""Our environments as Gymnasium's: one, or a batch of them, for tools that want such a thing.

The other direction is `jaxrl.adapters.host`.
"""

from __future__ import annotations

import functools
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import spaces
from jaxrl.environment import env_name, supports_render
from jaxrl.errors import ConfigError, SpaceError, check_range, missing_extra
from jaxrl.types import EnvParams, PyTree
from jaxrl.vector import vectorize
from jaxrl_envs.draw import MIN_SIZE


def to_gymnasium(
    env: Any,
    params: EnvParams | None = None,
    *,
    render_mode: str | None = None,
    height: int = 400,
    width: int = 600,
) -> Any:
    """One of our environments as a `gymnasium.Env`.

    A discrete action that does not exist is refused, a continuous one beyond its bounds is the
    environment's to clamp, as with Gymnasium's own.

    Args:
        env: the environment.
        params: its parameters; default its own.
        render_mode: `rgb_array`, or None.
        height, width: of a picture, in pixels.

    Raises:
        MissingExtraError: Gymnasium is not installed.
        ConfigError: a render mode that it does not have, or a picture too small.
    """
    made = _classes()["Env"]()
    made._set_up(env, params, render_mode, height, width)
    made.action_space = to_space(env.action_space(made._params))
    made.observation_space = to_space(env.observation_space(made._params))
    return made


def to_gymnasium_vector(
    env: Any,
    num_envs: int,
    params: EnvParams | None = None,
    *,
    render_mode: str | None = None,
    height: int = 400,
    width: int = 600,
) -> Any:
    """A batch of one of our environments as a `gymnasium.vector.VectorEnv`.

    A lane whose episode ends starts anew in the same step, as with Gymnasium's
    `AutoresetMode.SAME_STEP`: `infos["final_obs"]` then holds what the episode ended with.

    Args and errors are those of `to_gymnasium`; `num_envs` is a whole number of at least 1.
    """
    batch_space = load_gymnasium().vector.utils.batch_space
    made = _classes()["VectorEnv"]()
    made._set_up(env, params, render_mode, height, width)
    made._venv = vectorize(env, num_envs)
    made._step = jax.jit(made._step_lanes)
    made.num_envs = num_envs
    made.single_action_space = to_space(env.action_space(made._params))
    made.single_observation_space = to_space(env.observation_space(made._params))
    made.action_space = batch_space(made.single_action_space, num_envs)
    made.observation_space = batch_space(made.single_observation_space, num_envs)
    return made


def to_space(space: Any) -> Any:
    """A space of ours as one of Gymnasium's; raises SpaceError for one that has no counterpart."""
    theirs = load_gymnasium().spaces
    inside = getattr(space, "spaces", None)
    if isinstance(inside, dict):
        return theirs.Dict({name: to_space(part) for name, part in inside.items()})
    if inside is not None:
        return theirs.Tuple([to_space(part) for part in inside])
    if spaces.is_discrete(space):
        return theirs.Discrete(int(space.n))
    if spaces.is_box(space):
        dtype = np.dtype(space.dtype)
        low, high = (
            np.broadcast_to(np.asarray(bound, dtype), space.shape)
            for bound in (space.low, space.high)
        )
        return theirs.Box(low, high, tuple(space.shape), dtype.type)
    raise SpaceError(f"{space!r} has no counterpart in Gymnasium.")


class _Bridge:
    """What both bridges share."""

    def _set_up(
        self, env: Any, params: EnvParams | None, render_mode: str | None, height: int, width: int
    ) -> None:
        modes = ["rgb_array"] if supports_render(env) else []
        if render_mode is not None and render_mode not in modes:
            raise ConfigError(
                f"render_mode={render_mode!r} of {env_name(env)}: needed is one of {modes} or None."
            )
        self._env, self.render_mode = env, render_mode
        self._params = env.default_params if params is None else params
        self.metadata = {**self.metadata, "render_modes": modes, "render_fps": 50}
        self._key, self._state = jax.random.key(0), None
        if render_mode is not None:
            check_range("height", height, MIN_SIZE, whole=True)
            check_range("width", width, MIN_SIZE, whole=True)
            self._draw = jax.jit(
                lambda state: env.render(state, self._params, height=height, width=width)
            )

    def _taken(self, action: Any, lanes: tuple[int, ...] = ()) -> PyTree:
        """The action as an array; raises ConfigError for one that does not exist."""
        self._present()
        space = self._env.action_space(self._params)
        whole = spaces.is_discrete(space)
        if not whole and not spaces.is_box(space):
            return action
        given, shape = np.asarray(action), (*lanes, *space.shape)
        fits = given.dtype.kind in "biuf" and given.shape == shape
        if not fits or not (np.isin(given, range(space.n)) if whole else np.isfinite(given)).all():
            kind = f"one of 0 to {space.n - 1}" if whole else "finite numbers"
            raise ConfigError(
                f"action={action} of {env_name(self._env)}: needed is {kind}, of shape {shape}."
            )
        return given.astype(np.dtype(space.dtype))

    def _present(self) -> PyTree:
        """The state; raises Gymnasium's ResetNeeded where there is none yet."""
        if self._state is None:
            raise load_gymnasium().error.ResetNeeded(
                f"{env_name(self._env)} has no episode to step or to draw yet: call reset first."
            )
        return self._state

    def _next_key(self) -> jax.Array:
        self._key, key = jax.random.split(self._key)
        return key

    def _seed(self) -> None:
        """A key from Gymnasium's own generator, which `reset(seed=...)` has just set."""
        self._key = jax.random.key(int(self.np_random.integers(2**31)))


class _SingleEnv(_Bridge):
    """`gymnasium.Env`'s methods."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[PyTree, dict[str, Any]]:
        """Starts an episode; the same seed gives the same one."""
        super().reset(seed=seed)
        if seed is not None or self._state is None:
            self._seed()
        obs, self._state = self._env.reset(self._next_key(), self._params)
        return jax.tree.map(np.asarray, obs), {}

    def step(self, action: Any) -> tuple[PyTree, float, bool, bool, dict[str, Any]]:
        """One step; never resets. Raises ConfigError for an action that does not exist."""
        action = self._taken(action)
        out = self._step(self._next_key(), self._state, action)
        obs, self._state, reward, terminated, truncated = out
        return (
            jax.tree.map(np.asarray, obs),
            float(reward),
            bool(terminated),
            bool(truncated),
            {},
        )

    @functools.cached_property
    def _step(self) -> Any:
        env, params = self._env, self._params

        def step(key: jax.Array, state: PyTree, action: Any) -> Any:
            obs, after, reward, terminated, _ = env.step_env(key, state, action, params)
            after = jax.tree.map(
                lambda new, old: jnp.asarray(new, jnp.result_type(old)), after, state
            )
            return obs, after, reward, terminated, env.is_truncated(after, params)

        return jax.jit(step)

    def render(self) -> np.ndarray | None:
        """The present state's picture, uint8 `[height, width, 3]`; None without a render mode."""
        return None if self.render_mode is None else np.asarray(self._draw(self._present()))


class _Lanes(_Bridge):
    """`gymnasium.vector.VectorEnv`'s methods."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[PyTree, dict[str, Any]]:
        """Starts all lanes anew; raises ConfigError for a seed for each lane."""
        if seed is not None and not isinstance(seed, int | np.integer):
            raise ConfigError(f"seed={seed!r}: all lanes are drawn from one seed, give a number.")
        super().reset(seed=seed)
        if seed is not None or self._state is None:
            self._seed()
        self._state = jax.jit(self._venv.reset)(self._next_key(), self._params)
        return jax.tree.map(np.asarray, self._state.obs), {}

    def _step_lanes(self, key: jax.Array, state: PyTree, action: PyTree) -> Any:
        key_start, key_step = jax.random.split(key)
        restart = self._venv.restart(key_start, state, self._params)
        return self._venv.step(key_step, state, action, restart, self._params)

    def step(
        self, actions: Any
    ) -> tuple[PyTree, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every lane; those whose episodes end start anew. Raises as one lane's."""
        actions = self._taken(actions, (self._venv.num_envs,))
        self._state, step = self._step(self._next_key(), self._state, actions)
        ended = np.asarray(step.terminated | step.truncated)
        infos: dict[str, Any] = {}
        finals = jax.tree.map(np.asarray, step.next_obs) if ended.any() else None
        for lane in np.flatnonzero(ended).tolist():
            final = jax.tree.map(itemgetter(lane), finals)
            infos = self._add_info(infos, {"final_obs": final, "final_info": {}}, lane)
        return (
            jax.tree.map(np.asarray, self._state.obs),
            np.asarray(step.reward, np.float64),
            np.asarray(step.terminated),
            np.asarray(step.truncated),
            infos,
        )

    def render(self) -> tuple[np.ndarray, ...] | None:
        """A picture of each lane; None without a render mode."""
        if self.render_mode is None:
            return None
        return tuple(np.asarray(jax.vmap(self._draw)(self._present().env)))


@functools.cache
def _classes() -> dict[str, Any]:
    """The bridges as Gymnasium's classes, made when Gymnasium is first asked for."""
    gymnasium = load_gymnasium()
    from gymnasium.vector import AutoresetMode

    lanes = {"metadata": {"autoreset_mode": AutoresetMode.SAME_STEP}}
    return {
        "Env": type("JaxrlEnv", (_SingleEnv, gymnasium.Env), {}),
        "VectorEnv": type("JaxrlVectorEnv", (_Lanes, gymnasium.vector.VectorEnv), lanes),
    }


def load_gymnasium() -> Any:
    """The package, or a MissingExtraError that names the extra."""
    try:
        import gymnasium
    except ImportError as error:
        raise missing_extra("gymnasium", "gymnasium", "a bridge to Gymnasium") from error
    return gymnasium
