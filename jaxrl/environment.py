"""The environment contract, and how environments are found, made and checked.

An environment has gymnax 1.0's shape. `make` knows those that packages register through the entry
point group `jaxrl.envs` (ours are in `jaxrl_envs`), those registered by hand, and gymnax's; gymnax
is imported only when one of its environments is asked for, because it brings seconds of imports.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import inspect
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from jaxrl.errors import EnvironmentContractError, missing_extra, unknown_name
from jaxrl.types import Array, EnvParams, EnvState, Key, PyTree

ENTRY_POINTS = "jaxrl.envs"


class Environment(Protocol):
    """What jaxrl asks of an environment. All methods are pure and traceable.

    States and parameters are pytrees; `step_env` keeps the structure, shapes and types of the
    state that `reset_env` gave. Three more methods are used where they exist:

    - `reset_batch(key, params, num_envs) -> (obs [B, ...], state [B, ...])`: starts drawn for the
      batch with one key.
    - `render(state, params, *, height, width) -> uint8 [height, width, 3]`.
    - `describe(state, params) -> dict[str, Array]`: named quantities, their units in
      `quantities: dict[str, (unit, meaning)]`.
    """

    @property
    def name(self) -> str:
        """The environment's name."""
        ...

    @property
    def default_params(self) -> EnvParams:
        """Parameters as in the original. `max_steps_in_episode`, if there, is the time limit."""
        ...

    def reset_env(self, key: Key, params: EnvParams) -> tuple[PyTree, EnvState]:
        """The start of an episode, `(obs, state)`."""
        ...

    def step_env(
        self, key: Key, state: EnvState, action: PyTree, params: EnvParams
    ) -> tuple[PyTree, EnvState, Array, Array, dict[str, Any]]:
        """One step, `(obs, state, reward, terminated, info)`; never resets.

        `terminated` is the end by the environment's own rules, a time limit not being one.
        """
        ...

    def is_truncated(self, state: EnvState, params: EnvParams) -> Array:
        """Whether a time limit has cut the episode off at this state."""
        ...

    def action_space(self, params: EnvParams) -> Any:
        """Discrete (`n`) or Box (`low`, `high`, `shape`)."""
        ...

    def observation_space(self, params: EnvParams) -> Any:
        """Box (`low`, `high`, `shape`, `dtype`)."""
        ...


_registered: dict[str, Callable[..., Any]] = {}


def register(name: str, factory: Callable[..., Any]) -> None:
    """Adds an environment to what `make` knows, in front of every other of that name.

    Args:
        name: what to ask for.
        factory: called with the keyword arguments that are not parameters of the environment.
    """
    _registered[name] = factory


@functools.cache
def _from_entry_points() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        found |= entry.load()
    return found


def registered() -> dict[str, Callable[..., Any]]:
    """Name to factory of every environment that is not gymnax's."""
    return _from_entry_points() | _registered


def gymnax_names() -> list[str]:
    """Names of gymnax's environments. Imports gymnax."""
    return list(_gymnax().registered_envs)


def make(name: str, **settings: Any) -> tuple[Any, Any]:
    """Makes an environment.

    Args:
        name: of a registered environment, of one of gymnax's, or `gymnax:NAME` for gymnax's where
            both exist.
        **settings: fields of the environment's parameters to change, such as
            `max_steps_in_episode`; others are given to the factory.

    Returns:
        `(env, params)`; `env_name(env)` is `name`.

    Raises:
        UnknownNameError: no environment of that name, or a setting that neither takes.
        EnvironmentContractError: it breaks the contract (see `check_env`).
    """
    factory = _factory(name)
    env = _build(name, factory, settings)
    fields = _fields(env.default_params)
    params = env.default_params
    changes = {key: value for key, value in settings.items() if key in fields}
    if changes:
        params = params.replace(**changes)
    env._jaxrl_name = name
    check_env(env, params)
    return env, params


def env_name(env: Any) -> str:
    """What the environment was made as, or its own name."""
    return getattr(env, "_jaxrl_name", None) or env.name


def max_episode_steps(env: Any, params: EnvParams) -> int | None:
    """The environment's time limit in steps, or None. `params` must be concrete."""
    del env
    limit = getattr(params, "max_steps_in_episode", None)
    return None if limit is None else int(limit)


def supports_render(env: Any) -> bool:
    """Whether the environment can be drawn on the device."""
    return callable(getattr(env, "render", None))


def supports_describe(env: Any) -> bool:
    """Whether the environment names the quantities of its state."""
    return callable(getattr(env, "describe", None))


def check_env(env: Any, params: EnvParams | None = None) -> None:
    """Checks the contract by tracing, without compiling or running anything.

    Raises:
        EnvironmentContractError: naming what was given and what is needed.
    """
    for method in ("reset_env", "step_env", "is_truncated", "action_space", "observation_space"):
        if not callable(getattr(env, method, None)):
            raise EnvironmentContractError(
                f"{type(env).__name__} has no method {method}: an environment needs gymnax 1.0's "
                "methods (see jaxrl.environment.Environment)."
            )
    params = env.default_params if params is None else params
    key = jax.random.key(0)
    obs, state = _traced(env, "reset_env", 2, key, params)
    _check_observation(env, "reset_env", obs, env.observation_space(params))
    action = jax.eval_shape(env.action_space(params).sample, key)
    next_obs, next_state, reward, terminated, _ = _traced(
        env, "step_env", 5, key, state, action, params
    )
    _check_observation(env, "step_env", next_obs, env.observation_space(params))
    _check_same(env, state, next_state)
    _check_scalar(env, "step_env's reward", reward, (jnp.floating, jnp.integer, jnp.bool_))
    _check_scalar(env, "step_env's terminated", terminated, (jnp.bool_,))
    truncated = jax.eval_shape(env.is_truncated, state, params)
    _check_scalar(env, "is_truncated", truncated, (jnp.bool_,))
    if callable(getattr(env, "step", None)):
        _traced(env, "step", 6, key, state, action, params)


def _traced(env: Any, method: str, size: int, *args: Any) -> Any:
    """The abstract outputs of a method, which must be `size` many."""
    outputs = jax.eval_shape(getattr(env, method), *args)
    if isinstance(outputs, tuple) and len(outputs) == size:
        return outputs
    given = f"{len(outputs)} values" if isinstance(outputs, tuple) else type(outputs).__name__
    advice = ""
    if method == "step" and isinstance(outputs, tuple) and len(outputs) == 5:
        advice = (
            " Five values are gymnax 0.0.9's, where one `done` hides whether a time limit or the "
            "environment ended the episode: return terminated and truncated apart, and install "
            "gymnax>=1.0.1 if the environment is gymnax's."
        )
    needed = {
        "reset_env": "(obs, state)",
        "step_env": "(obs, state, reward, terminated, info)",
        "step": "(obs, state, reward, terminated, truncated, info)",
    }[method]
    raise EnvironmentContractError(
        f"{type(env).__name__}.{method} returns {given}, needed is {needed}.{advice}"
    )


def _check_observation(env: Any, method: str, obs: Any, space: Any) -> None:
    if not hasattr(obs, "shape") or getattr(space, "shape", None) is None:
        return  # a tree of observations: whether it can be taken is the algorithm's to say
    if tuple(obs.shape) != tuple(space.shape):
        raise EnvironmentContractError(
            f"{type(env).__name__}.{method} gives an observation of shape {tuple(obs.shape)}, its "
            f"observation_space says {tuple(space.shape)}: make them agree."
        )
    said = jnp.dtype(getattr(space, "dtype", None) or jnp.float32)
    kinds = (jnp.floating, jnp.integer, jnp.bool_)
    same_kind = any(jnp.issubdtype(obs.dtype, k) and jnp.issubdtype(said, k) for k in kinds)
    # float64 and float32 are one kind: which of them it is depends on jax's x64 switch.
    if not same_kind or (jnp.issubdtype(said, jnp.integer) and obs.dtype != said):
        raise EnvironmentContractError(
            f"{type(env).__name__}.{method} gives an observation of type {obs.dtype}, its "
            f"observation_space says {said}: make them agree."
        )


def _check_same(env: Any, state: Any, next_state: Any) -> None:
    """The state's structure and shapes must survive a step, or it cannot be scanned."""
    before, after = jax.tree.structure(state), jax.tree.structure(next_state)
    if before != after:
        raise EnvironmentContractError(
            f"{type(env).__name__}.step_env changes the structure of the state from {before} to "
            f"{after}: return what reset_env gives."
        )
    old, new = (jax.tree_util.tree_leaves_with_path(tree) for tree in (state, next_state))
    for (path, a), (_, b) in zip(old, new, strict=True):
        # Types may differ as Python numbers do (time + 1); the stepping casts them back.
        if a.shape != b.shape:
            raise EnvironmentContractError(
                f"{type(env).__name__}.step_env changes the shape of state"
                f"{jax.tree_util.keystr(path)} from {a.shape} to {b.shape}: keep it."
            )


def _check_scalar(env: Any, what: str, value: Any, kinds: tuple[Any, ...]) -> None:
    if value.shape == () and any(jnp.issubdtype(value.dtype, kind) for kind in kinds):
        return
    names = " or ".join(kind.__name__ for kind in kinds)
    raise EnvironmentContractError(
        f"{type(env).__name__}: {what} is {value.dtype}{list(value.shape)}, needed is a scalar "
        f"of kind {names}."
    )


def _factory(name: str) -> Callable[..., Any]:
    ours = registered()
    if name in ours:
        return ours[name]
    plain = name.removeprefix("gymnax:")
    if plain in gymnax_names():
        return lambda: _gymnax().make(plain)[0]
    raise unknown_name(
        "environment",
        name,
        [*ours, *gymnax_names()],
        hint="`jaxrl envs` lists them; `jaxrl.register(name, factory)` adds one.",
    )


def _build(name: str, factory: Callable[..., Any], settings: dict[str, Any]) -> Any:
    """Calls the factory with those settings that are not parameters of the environment."""
    env = factory()
    known = _fields(env.default_params)
    rest = {key: value for key, value in settings.items() if key not in known}
    if not rest:
        return env
    accepted = inspect.signature(factory).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values())
    for key in rest:
        if key not in accepted and not takes_any:
            raise unknown_name(f"setting of {name}", key, known | set(accepted))
    return factory(**rest)


def _fields(params: EnvParams) -> set[str]:
    if not dataclasses.is_dataclass(params):
        return set()
    return {field.name for field in dataclasses.fields(params)}


def _gymnax() -> Any:
    try:
        import gymnax
    except ImportError as error:
        raise missing_extra("gymnax", "gymnax", "an environment of gymnax's") from error
    version = importlib.metadata.version("gymnax")
    if int(version.split(".")[0]) < 1:
        raise EnvironmentContractError(
            f"gymnax {version} hides time limits in one `done`: pip install 'gymnax>=1.0.1,<2'."
        )
    return gymnax
