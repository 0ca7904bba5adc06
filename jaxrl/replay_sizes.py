"""What an off-policy config asks of its replay and its run, checked before anything is traced."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from jaxrl import replay, spaces
from jaxrl.environment import env_name
from jaxrl.errors import ConfigError
from jaxrl.replay import Layout

STORABLE = {"bool": 1, "uint8": 255}
"""Types that observations can be stored in beside their own, and the largest number they hold."""


def gradient_steps(config: Any) -> int:
    """Gradient steps of an update.

    Raises:
        ConfigError: the replay ratio cannot be met, because that would be no whole number.
    """
    steps = config.num_envs * config.num_steps
    exact = config.replay_ratio * steps
    if round(exact) >= 1 and math.isclose(exact, round(exact), rel_tol=1e-6):
        return round(exact)
    near = sorted({max(1, math.floor(exact)), max(1, math.ceil(exact))})
    raise ConfigError(
        f"replay_ratio={config.replay_ratio} cannot be met: an update of num_envs * num_steps = "
        f"{config.num_envs} * {config.num_steps} = {steps} steps would make {exact:g} gradient "
        f"steps, needed is a whole number of at least 1; replay_ratio="
        f"{' or '.join(f'{n}/{steps}' for n in near)} can be."
    )


def check(config: Any, *, n_step: int = 1) -> None:
    """Refuses sizes of a replay that do not go together.

    Raises:
        ConfigError: a buffer smaller than a batch or than `n_step` rows, or a replay ratio that
            cannot be met.
    """
    gradient_steps(config)
    if config.buffer_size < config.batch_size:
        raise ConfigError(
            f"buffer_size={config.buffer_size} is smaller than batch_size={config.batch_size}: "
            f"raise it to {config.batch_size} or more."
        )
    if config.buffer_size < n_step * config.num_envs:
        raise ConfigError(
            f"buffer_size={config.buffer_size} holds {config.buffer_size // config.num_envs} steps "
            f"of each of num_envs={config.num_envs} environments, fewer than n_step={n_step}: "
            f"raise it to {n_step * config.num_envs} or more."
        )
    if config.buffer_size >= 2**31:
        raise ConfigError(
            f"buffer_size={config.buffer_size} is beyond what a 32-bit index reaches: "
            f"give at most {2**31 - 1}."
        )


def layout_of(env: Any, config: Any) -> Layout:
    """The sizes of the replay that a config asks for.

    Raises:
        ConfigError: observations that the type to store them in does not hold.
    """
    params = env.default_params
    _check_stored_as(env, config.store_obs_as)
    obs, _ = jax.eval_shape(env.reset_env, jax.random.key(0), params)
    limit = getattr(params, "max_steps_in_episode", None)
    return replay.layout_for(
        config.buffer_size // config.num_envs,
        config.num_steps,
        obs.dtype,
        time_limit=None if limit is None else int(limit),
        stored_as=None if config.store_obs_as == "same" else config.store_obs_as,
    )


def _check_stored_as(env: Any, stored_as: str) -> None:
    """Refuses a type that observations would be cut down to, because its range is narrower."""
    space = env.observation_space(env.default_params)
    if stored_as == "same" or not spaces.is_box(space):
        return
    low, high = (float(bound) for bound in (np.min(space.low), np.max(space.high)))
    if not (low >= 0 and high <= STORABLE[stored_as]):
        raise ConfigError(
            f"store_obs_as={stored_as!r} holds numbers from 0 to {STORABLE[stored_as]}, and "
            f"observations of {env_name(env)} go from {low:g} to {high:g}: use "
            "store_obs_as='same'."
        )


def first_update(config: Any) -> int:
    """The update, from 0, at whose end `learning_starts` steps have been done."""
    steps = config.num_envs * config.num_steps
    return max(0, math.ceil(config.learning_starts / steps) - 1)


def check_length(config: Any, total_updates: Any, n_step: int) -> None:
    """Refuses a run that ends before its first gradient step; one of unknown length passes."""
    if not isinstance(total_updates, int) or total_updates == 0:
        return
    rows = total_updates * config.num_steps
    if total_updates <= first_update(config):
        raise ConfigError(
            f"learning_starts={config.learning_starts} is beyond the run of "
            f"{rows * config.num_envs} steps: nothing would be learned. Lower it, or train longer."
        )
    if rows < n_step:
        raise ConfigError(
            f"n_step={n_step} is beyond the run of {rows} steps of each of num_envs="
            f"{config.num_envs} environments: nothing would be learned. Lower it, or train longer."
        )
