"""Checks an environment against the contract, before anything is trained on it.

`check_env(env, params)` only traces: it costs milliseconds, and `make` calls it on everything it
makes. `check_env(env, params, deep=True)` also plays a few hundred random steps, and is for the
tests of whoever writes an environment.

What is let through, because the stepping in `vector.py` casts it: rewards that are integers, and
numbers of another width or of weak type where the state was reset with a plain array (`time + 1`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import spaces, vector
from jaxrl.errors import EnvironmentContractError
from jaxrl.types import EnvParams, PyTree, Transition

METHODS = ("reset_env", "step_env", "is_truncated", "action_space", "observation_space")
RETURNS = {
    "reset_env": "(obs, state)",
    "step_env": "(obs, state, reward, terminated, info)",
    "step": "(obs, state, reward, terminated, truncated, info)",
}
NUMBERS = (jnp.floating, jnp.integer, jnp.bool_)
DEEP_ENVS, DEEP_STEPS = 4, 64


def check_env(env: Any, params: EnvParams | None = None, *, deep: bool = False) -> None:
    """Checks the contract of `jaxrl.environment.Environment`.

    Args:
        env: the environment.
        params: its parameters; default `env.default_params`.
        deep: also compile and play a few hundred random steps: observations and rewards must be
            finite, observations must lie in their space, the same key must give the same steps,
            and compiled steps must equal uncompiled ones.

    Raises:
        EnvironmentContractError: naming what was given and what is needed.
    """
    if isinstance(env, tuple):
        raise EnvironmentContractError(
            "the environment is a tuple: make gives two things, write env, params = make(...)."
        )
    for method in METHODS:
        if not callable(getattr(env, method, None)):
            raise EnvironmentContractError(
                f"{type(env).__name__} has no method {method}: an environment needs gymnax 1.0's "
                "methods (see jaxrl.environment.Environment)."
            )
    params = env.default_params if params is None else params
    with _naming(env, "observation_space", params):
        space = env.observation_space(params)
    key = jax.random.key(0)
    obs, state = _traced(env, "reset_env", key, params)
    _check_observation(env, "reset_env", obs, space)
    action = _sampled(env, key, params)
    next_obs, next_state, reward, terminated, _ = _traced(
        env, "step_env", key, state, action, params
    )
    _check_observation(env, "step_env", next_obs, space)
    _check_same_state(env, state, next_state)
    _check_scalar(env, "step_env's reward", reward, NUMBERS)
    _check_scalar(env, "step_env's terminated", terminated, (jnp.bool_,))
    truncated = _abstract(env, "is_truncated", next_state, params)
    _check_scalar(env, "is_truncated", truncated, (jnp.bool_,))
    if callable(getattr(env, "step", None)):
        _traced(env, "step", key, state, action, params)
    if callable(getattr(env, "reset_batch", None)):
        _check_reset_batch(env, params, obs, state)
    if deep:
        _check_by_playing(env, params)


@contextlib.contextmanager
def _naming(env: Any, method: str, params: Any) -> Iterator[None]:
    """Errors of an environment's own code as breaches of the contract, with the method's name."""
    where = f"{type(env).__name__}.{method}"
    try:
        yield
    except jax.errors.JAXTypeError as error:
        raise EnvironmentContractError(
            f"{where} cannot be traced, because it uses the value of an array in Python (an if, a "
            "float(), a numpy function): use jnp.where and jax.numpy. "
            f"jax says: {str(error).splitlines()[0]}"
        ) from error
    except (AttributeError, TypeError, ValueError) as error:
        raise EnvironmentContractError(
            f"{where} fails on what the contract gives it, parameters that are "
            f"{type(params).__name__} among it: {type(error).__name__}: {error}"
        ) from error


def _sampled(env: Any, key: Any, params: EnvParams) -> Any:
    """The abstract value of an action."""
    with _naming(env, "action_space", params):
        space = env.action_space(params)
    sample = getattr(space, "sample", None)
    if not callable(sample):
        raise EnvironmentContractError(
            f"{type(env).__name__}.action_space gives {type(space).__name__}, which has no "
            "sample(key): use jaxrl_envs.Discrete or jaxrl_envs.Box."
        )
    with _naming(env, "action_space's sample", params):
        return jax.eval_shape(sample, key)


def _abstract(env: Any, method: str, *args: Any) -> Any:
    """The abstract output of a method; an error where it cannot be traced."""
    with _naming(env, method, args[-1]):
        return jax.eval_shape(getattr(env, method), *args)


def _traced(env: Any, method: str, *args: Any) -> Any:
    """The abstract outputs of a method, which must be as many as `RETURNS` says."""
    outputs = _abstract(env, method, *args)
    if isinstance(outputs, tuple) and len(outputs) == RETURNS[method].count(",") + 1:
        return outputs
    given = f"{len(outputs)} values" if isinstance(outputs, tuple) else type(outputs).__name__
    advice = ""
    if method == "step" and isinstance(outputs, tuple) and len(outputs) == 5:
        advice = (
            " Five values are gymnax 0.0.9's, where one `done` hides whether a time limit or the "
            "environment ended the episode: return terminated and truncated apart, and install "
            "gymnax>=1.0.1 if the environment is gymnax's."
        )
    raise EnvironmentContractError(
        f"{type(env).__name__}.{method} returns {given}, needed is {RETURNS[method]}.{advice}"
    )


def _check_observation(env: Any, method: str, obs: Any, space: Any) -> None:
    if getattr(space, "shape", None) is None:
        return  # a tree of spaces: whether it can be taken is the algorithm's to say
    where = f"{type(env).__name__}.{method} gives an observation"
    if not hasattr(obs, "shape"):
        raise EnvironmentContractError(
            f"{where} that is a {type(obs).__name__}, its observation_space says one array of "
            f"shape {tuple(space.shape)}: make them agree."
        )
    if tuple(obs.shape) != tuple(space.shape):
        raise EnvironmentContractError(
            f"{where} of shape {tuple(obs.shape)}, its observation_space says "
            f"{tuple(space.shape)}: make them agree."
        )
    said = jnp.dtype(getattr(space, "dtype", None) or jnp.float32)
    # float64 and float32 are one kind: which of them it is depends on jax's x64 switch.
    if not _same_kind(obs.dtype, said) or (jnp.issubdtype(said, jnp.integer) and obs.dtype != said):
        raise EnvironmentContractError(
            f"{where} of type {obs.dtype}, its observation_space says {said}: make them agree."
        )


def _same_kind(a: Any, b: Any) -> bool:
    return a == b or any(jnp.issubdtype(a, k) and jnp.issubdtype(b, k) for k in NUMBERS)


def _check_same_state(env: Any, state: Any, next_state: Any) -> None:
    """The state's structure, shapes and kinds must survive a step, or it cannot be scanned."""
    who = f"{type(env).__name__}.step_env changes"
    before, after = jax.tree.structure(state), jax.tree.structure(next_state)
    if before != after:
        raise EnvironmentContractError(
            f"{who} the structure of the state from {before} to {after}: return what reset_env "
            "gives."
        )
    old, new = (jax.tree_util.tree_leaves_with_path(tree) for tree in (state, next_state))
    for (path, a), (_, b) in zip(old, new, strict=True):
        leaf = f"state{jax.tree_util.keystr(path)}"
        if a.shape != b.shape:
            raise EnvironmentContractError(
                f"{who} the shape of {leaf} from {a.shape} to {b.shape}: keep it."
            )
        # Another width is cast back by the stepping; a fraction cast to an integer is lost.
        if not _same_kind(a.dtype, b.dtype):
            raise EnvironmentContractError(
                f"{who} the type of {leaf} from {a.dtype} to {b.dtype}: keep it, for example by "
                f"resetting to jnp.zeros({a.shape}, jnp.{b.dtype})."
            )


def _check_scalar(env: Any, what: str, value: Any, kinds: tuple[Any, ...]) -> None:
    given = f"{value.dtype}{list(value.shape)}" if hasattr(value, "dtype") else type(value).__name__
    shape = getattr(value, "shape", None)
    if shape == () and any(jnp.issubdtype(value.dtype, kind) for kind in kinds):
        return
    names = " or ".join("bool" if kind is jnp.bool_ else kind.__name__ for kind in kinds)
    raise EnvironmentContractError(
        f"{type(env).__name__}: {what} is {given}, needed is a scalar of kind {names}."
    )


def _check_reset_batch(env: Any, params: EnvParams, obs: PyTree, state: PyTree) -> None:
    def draw(key: jax.Array) -> Any:
        return env.reset_batch(key, params, DEEP_ENVS)

    given = jax.eval_shape(draw, jax.random.key(0))
    shaped = jax.tree.map(lambda leaf: (tuple(leaf.shape), str(leaf.dtype)), given)
    needed = jax.tree.map(lambda leaf: ((DEEP_ENVS, *leaf.shape), str(leaf.dtype)), (obs, state))
    if shaped != needed:
        raise EnvironmentContractError(
            f"{type(env).__name__}.reset_batch with num_envs={DEEP_ENVS} gives {shaped}, "
            f"needed are reset_env's shapes with that axis in front, and its types: {needed}."
        )


def _check_by_playing(env: Any, params: EnvParams) -> None:
    """Plays random actions, and compares two runs and compiled with uncompiled steps."""
    name = type(env).__name__
    play_random = jax.jit(lambda key: play(env, params, key))
    first, second = play_random(jax.random.key(0)), play_random(jax.random.key(0))
    for what, values in (("an observation", first.next_obs), ("a reward", first.reward)):
        if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(values)):
            raise EnvironmentContractError(f"{name} gives {what} that is not finite.")
    if not jax.tree.all(jax.tree.map(np.array_equal, first, second)):
        raise EnvironmentContractError(
            f"{name} gives different steps for the same key: draw its randomness from the key "
            "alone, not in a callback."
        )
    _check_inside(name, first.next_obs, env.observation_space(params))

    key = jax.random.key(1)
    state, action = jax.tree.map(lambda x: x[0, 0], (first.record.state, first.action))
    plain = env.step_env(key, state, action, params)[:4]
    compiled = jax.jit(env.step_env)(key, state, action, params)[:4]
    if not jax.tree.all(jax.tree.map(lambda a, b: np.allclose(a, b, 1e-4, 1e-5), plain, compiled)):
        raise EnvironmentContractError(
            f"{name}.step_env gives other values compiled than uncompiled: it depends on "
            "something besides its arguments. Draw its randomness from the key alone, not from "
            "Python's or numpy's generators."
        )


def play(env: Any, params: EnvParams, key: jax.Array) -> Transition:
    """Random steps of a few lanes with the states they led to, `[T, B, ...]`."""
    venv = vector.vectorize(env, DEEP_ENVS)
    sample = jax.vmap(env.action_space(params).sample)
    key_reset, key_steps = jax.random.split(key)
    return vector.rollout(
        venv,
        params,
        venv.reset(key_reset, params),
        lambda key: sample(jax.random.split(key, DEEP_ENVS)),
        lambda obs, action: (action, ()),
        key_steps,
        DEEP_STEPS,
        record="every_step",
    )[1]


def _check_inside(name: str, obs: PyTree, space: Any) -> None:
    if spaces.is_discrete(space):
        low, high = np.float32(0), np.float32(space.n - 1)
    elif spaces.is_box(space):
        low, high = spaces.bounds(space)
    else:
        return
    inside = (obs >= low - 1e-5) & (obs <= high + 1e-5)
    if not bool(inside.all()):
        raise EnvironmentContractError(
            f"{name} gives observations from {float(obs.min()):g} to {float(obs.max()):g}, some "
            f"outside its observation_space {space!r}: widen the space."
        )
