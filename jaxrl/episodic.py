"""What algorithms that learn from whole episodes share: starting, collecting, masked means.

Their updates play one episode in every lane, so that each takes as many steps as its episodes last;
the train state counts them (`types.StepCount`). The functions here take the algorithm's `parts`
first, as those of `jaxrl.on_policy` do, whose acting, valuing and finishing serve here too.

Rows beyond an episode's end hold nothing, whatever a reward source wrote there: every mean goes
over the valid rows alone, and is 0 where there is none (a seed that waits for the others).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl import returns, spaces
from jaxrl.environment import episode_limit
from jaxrl.episodes import count_steps, rollout_episodes
from jaxrl.networks import ActorCritic
from jaxrl.on_policy import OnPolicyState, act, sampling, value
from jaxrl.train_state import fresh
from jaxrl.types import (
    Algorithm,
    Array,
    EnvParams,
    EnvState,
    Key,
    Metrics,
    PyTree,
    Record,
    Trajectory,
)
from jaxrl.vector import no_episodes


class Parts(Protocol):
    """What an algorithm's functions are built from; fixed before anything is traced."""

    @property
    def network(self) -> ActorCritic:
        """Actor and critic."""
        ...

    @property
    def env(self) -> Any:
        """The environment."""
        ...

    @property
    def starts(self) -> Callable[[Key, EnvParams], tuple[PyTree, EnvState]]:
        """`(key, env_params) -> (obs, state)` `[B, ...]`: where the episodes of an update begin."""
        ...

    @property
    def num_lanes(self) -> int:
        """`B`, the episodes of an update."""
        ...

    @property
    def max_steps(self) -> int:
        """Where an episode is cut off."""
        ...

    @property
    def config(self) -> Any:
        """The algorithm's config, for its sizes; its numbers are read from the train state."""
        ...


@struct.dataclass
class EpisodicState(OnPolicyState):
    """The train state of an algorithm on whole episodes; its `vector` is None, no episode goes on.

    Attributes:
        episodes: means of return and length over the last update's episodes, for metrics.
    """

    episodes: Metrics


def limit_of(env: Any, config: Any) -> int:
    """The steps after which an episode is cut off: the config's, or the environment's own.

    Raises:
        ConfigError: neither is there.
    """
    return episode_limit(env, env.default_params, config.max_episode_steps, "max_episode_steps")


def assemble(
    name: str,
    parts: Parts,
    *,
    init: Callable[..., Any],
    learn: Callable[..., tuple[Any, Metrics]],
    critic: bool,
) -> Algorithm:
    """An `Algorithm` of functions that take `parts` first; `critic` says whether it has one."""
    return Algorithm(
        name=name,
        env=parts.env,
        config=parts.config,
        init=partial(init, parts),
        collect=partial(collect, parts),
        learn=partial(learn, parts),
        act=partial(act, parts),
        value=partial(value, parts) if critic else None,
        steps_per_update=parts.num_lanes,
    )


def initial(
    parts: Parts, key: Key, env_params: EnvParams, total_updates: Any, params: PyTree
) -> dict[str, Any]:
    """The fields of a fresh `EpisodicState`, but for `opt_state`.

    Raises:
        ConfigError: a run of more steps than can be counted.
    """
    space = parts.env.observation_space(parts.env.default_params)
    shape = spaces.observation_shape(space)
    return fresh(parts.config, key, env_params, total_updates, shape) | dict(
        params=params,
        vector=None,
        steps=count_steps(parts.num_lanes, total_updates),
        ent_coef_shift=jnp.float32(0),
        episodes=no_episodes(),
    )


def collect(parts: Parts, state: Any, record: Record = "nothing") -> tuple[Any, Trajectory]:
    """Plays one whole episode in every lane with the policy as it is, or none in an idle seed."""
    noise, policy = sampling(parts, state, parts.num_lanes)
    key, key_start, key_play = jax.random.split(state.key, 3)
    played = rollout_episodes(
        parts.env,
        state.env_params,
        parts.starts(key_start, state.env_params),
        noise,
        policy,
        key_play,
        parts.max_steps,
        running=jnp.broadcast_to(~state.steps.idle, (parts.num_lanes,)),
        record=record,
    )
    steps = state.steps._replace(done=state.steps.done + played.num_steps)
    return state.replace(key=key, steps=steps, episodes=played.episodes), played.trajectory


def learned_rows(trajectory: Trajectory, *, whole_episode: bool) -> Array:
    """Which rows `[T, B]` may be learned from: steps, and none whose return lacks a reward. bool.

    Args:
        trajectory: one episode a lane.
        whole_episode: a row is credited with its whole episode, not with what follows it alone;
            then one missing reward takes the episode with it.
    """
    valid = trajectory.valid
    assert valid is not None
    if trajectory.labelled is None:
        return valid
    labelled = trajectory.labelled | ~valid
    if whole_episode:
        return valid & labelled.all(axis=0)
    known = returns.known_returns(labelled, trajectory.terminated, trajectory.truncated)
    return valid & known


def masked_mean(x: Array, valid: Array) -> Array:
    """The mean of `x` where `valid`, of the same shape; 0 of nothing. Scalar."""
    return jnp.where(valid, x, 0.0).sum() / jnp.maximum(valid.sum(), 1)


def masked_std(x: Array, valid: Array) -> Array:
    """The population deviation of `x` where `valid`, of the same shape; 0 of nothing. Scalar."""
    return jnp.sqrt(masked_mean((x - masked_mean(x, valid)) ** 2, valid))


def masked_normalize(x: Array, valid: Array, eps: float = 1e-8) -> Array:
    """`x` with mean 0 and deviation 1 where `valid`; equal values become exactly 0.

    As `objectives.normalize_advantage`, which says why the spread is tested.
    """
    largest = jnp.where(valid, x, -jnp.inf).max()
    smallest = jnp.where(valid, x, jnp.inf).min()
    centred = x - masked_mean(x, valid)
    return jnp.where(largest == smallest, 0.0, centred / (masked_std(x, valid) + eps))


def sample_baseline(credit: Array, valid: Array, *, each_time: bool, leave_one_out: bool) -> Array:
    """The mean credit of the steps that a step is compared with, `[T, B]`.

    A mean that contains the episode itself depends on its actions, and biases the gradient by a
    share of about 1/B; one over the others does not. Where there is no other, it is 0.

    Args:
        credit: what each step is credited with, `[T, B]`.
        valid: bool `[T, B]`.
        each_time: the mean over the steps of the same t, not over all.
        leave_one_out: leave the step's own episode out of its mean.
    """
    total, count = jnp.where(valid, credit, 0.0), valid.astype(credit.dtype)
    if not each_time:
        total, count = total.sum(0, keepdims=True), count.sum(0, keepdims=True)
    all_total, all_count = total.sum(1, keepdims=True), count.sum(1, keepdims=True)
    if leave_one_out:
        all_total, all_count = all_total - total, all_count - count
    return jnp.broadcast_to(all_total / jnp.maximum(all_count, 1), valid.shape)
