"""What algorithms on Q-values share: acting, valuing and collecting ε-greedily; schedules.

DQN and PQN differ in what they learn from, not in how they act. The functions here take the
algorithm's `parts` first, as those of `jaxrl.on_policy` do.
"""

from __future__ import annotations

from typing import Any, Protocol

import jax

from jaxrl import normalise, objectives
from jaxrl.critics import QNetwork
from jaxrl.types import Array, Key, Record, Trajectory
from jaxrl.vector import VectorEnv, rollout


class Parts(Protocol):
    """What an algorithm's functions are built from; fixed before anything is traced."""

    @property
    def network(self) -> QNetwork:
        """The Q-values."""
        ...

    @property
    def venv(self) -> VectorEnv:
        """The batch of environments."""
        ...

    @property
    def config(self) -> Any:
        """The algorithm's config, for its sizes; its numbers are read from the train state."""
        ...


def values(parts: Parts, state: Any, obs: Array) -> Array:
    """Q of every action, `[..., A]`, for observations `[..., *O]` as the environment gives them."""
    return parts.network.values(state.params, normalise.see(state.obs_stats, obs))


def act(parts: Parts, state: Any, obs: Array, key: Key, *, greedy: bool = False) -> Array:
    """The best action `[...]` of observations `[..., *O]`.

    Unless `greedy`, any action with probability `epsilon_final`.
    """
    q = values(parts, state, obs)
    uniform = jax.random.uniform(key, q.shape[:-1])
    return objectives.epsilon_greedy(q, uniform, 0.0 if greedy else parts.config.epsilon_final)


def value(parts: Parts, state: Any, obs: Array) -> Array:
    """The best action's value `[...]`, for observations `[..., *O]` of any leading shape."""
    return values(parts, state, obs).max(-1)


def collect(
    parts: Parts, state: Any, epsilon: Array, record: Record = "nothing"
) -> tuple[Any, Trajectory]:
    """Plays `num_steps` steps in all environments, ε-greedily: a trajectory `[T, B, ...]`."""
    num_envs = parts.config.num_envs

    def policy(obs: Array, uniform: Array) -> tuple[Array, None]:
        return objectives.epsilon_greedy(values(parts, state, obs), uniform, epsilon), None

    key, key_rollout = jax.random.split(state.key)
    vector, trajectory = rollout(
        parts.venv,
        state.env_params,
        state.vector,
        lambda key: jax.random.uniform(key, (num_envs,)),
        policy,
        key_rollout,
        parts.config.num_steps,
        record,
    )
    return state.replace(key=key, vector=vector), trajectory


def at_progress(state: Any) -> Any:
    """The config with its step size and its ε evaluated at the state's share of the run."""
    config, progress = state.config, state.progress
    return config.replace(
        learning_rate=objectives.schedule(
            "linear", config.learning_rate, config.learning_rate_final, progress
        ),
        epsilon=objectives.schedule(
            "linear", config.epsilon, config.epsilon_final, progress, config.exploration_fraction
        ),
    )
