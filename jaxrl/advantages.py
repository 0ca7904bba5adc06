"""What the steps of a trajectory were worth to an actor-critic: GAE from its critic, as rows."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from jaxrl import normalise, returns
from jaxrl.errors import ConfigError
from jaxrl.minibatch import as_rows, by_steps, row_weight
from jaxrl.on_policy import Extras, Parts, value
from jaxrl.types import Array, Trajectory


class Batch(NamedTuple):
    """The rows a gradient step sees, `[N, ...]`; `entropy_noise` as in `jaxrl.entropy.of`.

    `weight` is 1, or 0 on rows that must not be learned from; None where all may; see
    `minibatch.row_weight`.
    """

    obs: Array
    raw_action: Array
    log_prob: Array
    value: Array
    advantage: Array
    target: Array
    entropy_noise: Array | None = None
    weight: Array | None = None


def count_rewards(state: Any, trajectory: Trajectory) -> Any:
    """The state with the trajectory's returns in its statistics, before learning from them.

    Raises:
        ConfigError: rewards can be missing, and statistics of returns need every one.
    """
    if state.return_stats is not None and trajectory.labelled is not None:
        raise ConfigError(
            "normalize_reward=True divides by a statistic of every return, and with this reward "
            "source some rewards are missing: use normalize_reward=False."
        )
    return state.replace(
        return_stats=normalise.update_return_stats(
            state.return_stats, trajectory, state.config.gamma
        )
    )


def make_batch(parts: Parts, state: Any, trajectory: Trajectory) -> Batch:
    """GAE advantages and targets of a trajectory `[T, B]`, as rows `[T * B]`.

    Values are computed here, for all steps at once, and not while collecting: one large product
    instead of `T` small ones. `next_obs` is from before any reset, so that a time limit
    bootstraps from the state it cut off.
    """

    def valued(obs: Array) -> Array:
        return by_steps(partial(value, parts, state), state.params, obs)

    values = valued(trajectory.obs)
    advantage = returns.gae(
        normalise.scale_reward(trajectory.reward, state.return_stats),
        values,
        valued(trajectory.next_obs),
        trajectory.terminated,
        trajectory.truncated,
        gamma=state.config.gamma,
        gae_lambda=state.config.gae_lambda,
    )
    obs = normalise.see(state.obs_stats, trajectory.obs)
    extras: Extras = trajectory.extras
    batch = Batch(
        obs,
        extras.raw_action,
        extras.log_prob,
        values,
        advantage,
        advantage + values,
        weight=row_weight(trajectory),
    )
    return as_rows(batch)
