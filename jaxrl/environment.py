"""The environment contract, and how environments are found, made and checked.

An environment has gymnax 1.0's shape. `make` knows those that packages register through the entry
point group `jaxrl.envs` (ours are in `jaxrl_envs`), those registered by hand, and gymnax's; gymnax
is imported only when one of its environments is asked for, because it brings seconds of imports.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import importlib.metadata
import inspect
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.env_check import check_env as check_env
from jaxrl.errors import (
    ConfigError,
    EnvironmentContractError,
    JaxrlError,
    MissingExtraError,
    check_range,
    known,
    unknown_name,
)
from jaxrl.types import Array, EnvParams, EnvState, Key, PyTree

ENTRY_POINTS = "jaxrl.envs"
WORLDS = ("brax", "gymnasium", "jumanji")
"""Libraries whose environments are made as `LIBRARY:NAME`, besides gymnax."""


class Environment(Protocol):
    """What jaxrl asks of an environment. All methods are pure and traceable.

    States and parameters are pytrees; `step_env` keeps the structure, shapes and types of the
    state that `reset_env` gave. More is used where it exists:

    - `reset_batch(key, params, num_envs) -> (obs [B, ...], state [B, ...])`: starts drawn for the
      batch with one key; rows independent and distributed as `reset_env`'s, for some are dropped.
    - `render(state, params, *, height, width) -> uint8 [height, width, 3]`.
    - `describe(state, params) -> dict[str, Array]`: named quantities, their units in
      `quantities: dict[str, (unit, meaning)]`.
    - `evaluated_with: dict[str, value]`, of its class: arguments with which `jaxrl eval` makes it,
      where it may be trained in a cheaper form of itself.
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
            both exist; `gymnasium:NAME` is Gymnasium's own, on the host,
            `brax:NAME` Brax's and `jumanji:NAME` Jumanji's.
        **settings: fields of the environment's parameters to change, such as
            `max_steps_in_episode`, and arguments of its factory.

    Returns:
        `(env, params)`; `env_name(env)` is `name`.

    Raises:
        UnknownNameError: no environment of that name, or a setting that neither takes.
        ConfigError: a setting of the wrong kind, or a required one left out.
        EnvironmentContractError: it breaks the contract (see `check_env`).
        JaxrlError: it could not be made here, for want of a file or a network.
    """
    env = _build(name, _factory(name), settings)
    params = env.default_params
    changes = {
        key: _setting(name, key, value, getattr(params, key))
        for key, value in settings.items()
        if key in _fields(params)
    }
    if changes:
        try:
            params = dataclasses.replace(params, **changes)
        except ValueError as error:  # parameters that check their own ranges
            raise ConfigError(str(error)) from error
    # Past the class's own __setattr__, which a frozen dataclass forbids.
    object.__setattr__(env, "_jaxrl_name", name)
    arguments = {key: value for key, value in settings.items() if key not in _fields(params)}
    object.__setattr__(env, "_jaxrl_arguments", arguments)
    check_env(env, params)
    return env, params


def env_name(env: Any) -> str:
    """What the environment was made as, or its own name."""
    return getattr(env, "_jaxrl_name", None) or env.name


def env_arguments(env: Any) -> dict[str, Any]:
    """What of `make`'s settings went to the environment's factory: `make` takes them again."""
    return dict(getattr(env, "_jaxrl_arguments", {}))


def max_episode_steps(env: Any, params: EnvParams) -> int | None:
    """The environment's time limit in steps, or None. `params` must be concrete."""
    del env
    limit = getattr(params, "max_steps_in_episode", None)
    return None if limit is None else int(limit)


def episode_limit(env: Any, params: EnvParams, max_steps: int | None, setting: str) -> int:
    """The bound of an episode: `max_steps`, or the environment's own time limit.

    Args:
        env: the environment.
        params: its parameters, concrete.
        max_steps: a bound of the caller's, or None.
        setting: what the caller's user sets it by, for the error.

    Raises:
        ConfigError: neither is there, or a bound below 1.
    """
    check_range(setting, max_steps, 1)
    limit = max_episode_steps(env, params) if max_steps is None else max_steps
    if limit is None:
        raise ConfigError(
            "the environment has no time limit (params.max_steps_in_episode), so an episode "
            f"might never end: give {setting}=..., the steps after which to stop."
        )
    return limit


def supports_render(env: Any) -> bool:
    """Whether the environment can be drawn on the device, at a size that is asked for."""
    render = getattr(env, "render", None)
    if not callable(render):
        return False
    parameters = inspect.signature(render).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return takes_any or {"height", "width"} <= set(parameters)


def supports_describe(env: Any) -> bool:
    """Whether the environment names the quantities of its state."""
    return callable(getattr(env, "describe", None))


def _factory(name: str) -> Callable[..., Any]:
    ours = registered()
    if name in ours:
        return ours[name]
    world, _, inside = name.partition(":")
    if inside and world in WORLDS:
        return functools.partial(_world(world), inside)
    plain = name.removeprefix("gymnax:")
    if plain in gymnax_names():
        return functools.partial(_make_gymnax, plain)
    raise unknown_name(
        "environment",
        name,
        {*ours, *gymnax_names()},
        hint="`jaxrl envs` lists them; `jaxrl.register(name, factory)` adds one.",
    )


def _world(world: str) -> Callable[..., Any]:
    """The class that makes an environment of another library one of ours."""
    from jaxrl.adapters.brax import BraxEnv
    from jaxrl.adapters.host import GymnasiumEnv
    from jaxrl.adapters.jumanji import JumanjiEnv

    return {"brax": BraxEnv, "gymnasium": GymnasiumEnv, "jumanji": JumanjiEnv}[world]


def _make_gymnax(name: str, **arguments: Any) -> Any:
    """One of gymnax's environments, with pictures and quantities where its structure is known.

    Its observation space says the type its observations have: gymnax 1.0.1 declares int32 for
    Catch's floats and float32 for FourRooms' integers.
    """
    from jaxrl_envs import views

    env, params = _gymnax().make(name, **arguments)
    views.supply(env, params)
    obs, _ = jax.eval_shape(env.reset_env, jax.random.key(0), params)
    declared = env.observation_space
    if hasattr(obs, "dtype") and getattr(declared(params), "dtype", obs.dtype) != obs.dtype:

        def observation_space(params: Any) -> Any:
            space = copy.copy(declared(params))
            space.dtype = obs.dtype
            return space

        env.observation_space = observation_space
    return env


def _build(name: str, factory: Callable[..., Any], settings: dict[str, Any]) -> Any:
    """Calls the factory with those settings that are its arguments."""
    signature = inspect.signature(factory).parameters.values()
    named = {p.name for p in signature if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    missing = [
        p.name for p in signature if p.name in named - set(settings) and p.default is p.empty
    ]
    if missing:
        raise ConfigError(
            f"{name} needs {', '.join(missing)}: type make({name!r}, {missing[0]}=...)."
        )
    arguments = {key: value for key, value in settings.items() if key in named}
    env = _call(name, factory, arguments)
    known = _fields(env.default_params) | named
    rest = {key: value for key, value in settings.items() if key not in known}
    if not rest:
        return env
    if not any(p.kind is p.VAR_KEYWORD for p in signature):
        raise unknown_name(f"setting of {name}", next(iter(rest)), known)
    # What a factory with **kwargs hands on, the environment's class has to know, if it says.
    taken = inspect.signature(type(env)).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        for key in rest.keys() - known - set(taken):
            raise unknown_name(f"setting of {name}", key, known | set(taken))
    return _call(name, factory, arguments | rest)


def _call(name: str, factory: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    try:
        return factory(**arguments)
    except ValueError as error:  # our environments cannot raise jaxrl's own errors
        raise ConfigError(f"{name}: {error}") from error
    except OSError as error:  # gymnax's MNISTBandit, for one, downloads its data when made
        raise JaxrlError(
            f"{name} could not be made, because it reads a file or the network: {error}."
        ) from error


def _setting(name: str, key: str, value: Any, default: Any) -> Any:
    """A parameter's new value, of the default's kind."""
    if not known(value) or not isinstance(default, int | float | np.generic):
        if not isinstance(default, np.ndarray | jax.Array):
            return value
        changed = jnp.asarray(value, default.dtype)
        if changed.shape != default.shape:
            raise ConfigError(
                f"{key}={value!r} of {name} has shape {changed.shape}, needed is {default.shape}."
            )
        return changed
    whole = isinstance(default, int | np.integer)
    is_number = np.ndim(value) == 0 and np.asarray(value).dtype.kind in "biuf"
    if not is_number or (whole and value % 1 != 0):  # also of an infinite one
        needed = f"{'a whole number' if whole else 'a number'}, such as {default!r}"
        if isinstance(default, bool):
            needed = "True or False"
        raise ConfigError(f"{key}={value!r} of {name}: needed is {needed}.")
    if key == "max_steps_in_episode" and value < 1:
        raise ConfigError(f"max_steps_in_episode={value} of {name}: needed is at least 1.")
    if whole:
        return type(default)(value)
    # A plain number, whose range the parameters can check.
    return value.item() if isinstance(value, np.ndarray | np.generic | jax.Array) else value


def _fields(params: EnvParams) -> set[str]:
    if not dataclasses.is_dataclass(params):
        return set()
    return {field.name for field in dataclasses.fields(params)}


def _gymnax() -> Any:
    try:
        import gymnax
    except ImportError as error:
        raise MissingExtraError(
            "an environment of gymnax's needs the package 'gymnax', which is not installed: "
            "pip install 'gymnax>=1.0.1,<2'"
        ) from error
    version = importlib.metadata.version("gymnax")
    if int(version.split(".")[0]) < 1:
        raise EnvironmentContractError(
            f"gymnax {version} hides time limits in one `done`: pip install 'gymnax>=1.0.1,<2'."
        )
    return gymnax
