"""What every fresh train state begins with."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from jaxrl import normalise
from jaxrl.config import as_arrays
from jaxrl.types import EnvParams, Key


def fresh(
    config: Any, key: Key, env_params: EnvParams, total_updates: Any, obs_shape: tuple[int, ...]
) -> dict[str, Any]:
    """The fields of a `TrainState` before the first update, but for what is the algorithm's own.

    Those are `params`, `opt_state` and `vector`; rewards are not normalised unless `return_stats`
    is replaced.

    Args:
        config: the algorithm's, whose numbers the state carries.
        key: randomness of the run.
        env_params: the environment's parameters.
        total_updates: where the schedules end, possibly traced.
        obs_shape: `O`, of one observation.
    """
    return dict(
        env_params=env_params,
        obs_stats=normalise.init_stats(obs_shape) if config.normalize_obs else None,
        return_stats=None,
        config=as_arrays(config),
        key=key,
        update=jnp.int32(0),
        total_updates=jnp.int32(total_updates),
    )
