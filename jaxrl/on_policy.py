"""What on-policy actor-critics share: starting, acting, valuing, collecting, finishing an update.

PPO, TRPO and the actor-critic differ in what they learn from a trajectory, not in how it comes
about. The functions here take the algorithm's `parts` first, whatever else those hold; an
algorithm binds them with its own `learn` by `assemble`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import entropy, normalise, objectives
from jaxrl.config import validate
from jaxrl.env_check import check_env
from jaxrl.errors import ConfigError
from jaxrl.networks import ActorCritic, actor_critic
from jaxrl.train_state import fresh
from jaxrl.types import (
    Algorithm,
    Array,
    EnvParams,
    Key,
    Metrics,
    PyTree,
    Record,
    TrainState,
    Trajectory,
)
from jaxrl.vector import VectorEnv, rollout, vectorize


class Parts(Protocol):
    """What an algorithm's functions are built from; fixed before anything is traced."""

    @property
    def network(self) -> ActorCritic:
        """Actor and critic."""
        ...

    @property
    def venv(self) -> VectorEnv:
        """The batch of environments."""
        ...

    @property
    def config(self) -> Any:
        """The algorithm's config, for its sizes; its numbers are read from the train state."""
        ...


@struct.dataclass
class OnPolicyState(TrainState):
    """The train state of an on-policy actor-critic.

    Attributes:
        ent_coef_shift: what entropy control has added to `ent_coef`; see `jaxrl.entropy`.
    """

    ent_coef_shift: Array


class Extras(NamedTuple):
    """What is kept of each step: the action as sampled, and its log-probability, `[T, B]`."""

    raw_action: Array
    log_prob: Array


def network_of(env: Any, config: Any, *, shared_torso: bool = False) -> ActorCritic:
    """The network that a config asks for, once it is checked.

    Raises:
        ConfigError: a setting of the wrong kind or out of range.
        EnvironmentContractError: the environment is not one.
        SpaceError: an action or observation space that the algorithm cannot take.
        UnknownNameError: a name in the config that no table has.
    """
    validate(config)
    check_env(env)
    observation_space = env.observation_space(env.default_params)
    action_space = env.action_space(env.default_params)
    network = actor_critic(
        observation_space,
        action_space,
        torso=config.torso,
        hidden_sizes=config.hidden_sizes,
        activation=config.activation,
        shared_torso=shared_torso,
        squash=config.squash,
    )
    entropy.check(config, action_space)
    return network


def network_and_envs(env: Any, config: Any) -> tuple[ActorCritic, VectorEnv]:
    """The network and the batch of environments that a config asks for; raises as `network_of`."""
    network = network_of(env, config, shared_torso=config.shared_torso)
    return network, vectorize(env, config.num_envs, reset=config.reset, pool_size=config.pool_size)


def check_spread(config: Any, num_rows: int) -> None:
    """Refuses to normalise the only advantage of a gradient step, which would always be 0."""
    if config.normalize_advantage and num_rows == 1:
        raise ConfigError(
            "normalize_advantage=True needs two rows in each gradient step, of one alone it leaves "
            "nothing: use more num_envs or num_steps, or normalize_advantage=False."
        )


def assemble(
    name: str,
    env: Any,
    parts: Parts,
    *,
    init: Callable[..., Any],
    collect: Callable[..., tuple[Any, Trajectory]],
    learn: Callable[..., tuple[Any, Metrics]],
) -> Algorithm:
    """An `Algorithm` of functions that take `parts` first."""
    return Algorithm(
        name=name,
        env=env,
        config=parts.config,
        init=partial(init, parts),
        collect=partial(collect, parts),
        learn=partial(learn, parts),
        act=partial(act, parts),
        value=partial(value, parts),
        steps_per_update=parts.config.num_envs * parts.config.num_steps,
    )


def init(
    parts: Parts,
    optimizer: optax.GradientTransformation,
    key: Key,
    env_params: EnvParams,
    total_updates: Any = 0,
) -> OnPolicyState:
    """A fresh train state; `total_updates` is where the schedules end."""
    key, key_params, key_env = jax.random.split(key, 3)
    config = parts.config
    params = parts.network.init(key_params)
    vector = parts.venv.reset(key_env, env_params)
    state = OnPolicyState(
        **fresh(config, key, env_params, total_updates, vector.obs.shape[1:]),
        params=params,
        opt_state=optimizer.init(params),
        vector=vector,
        ent_coef_shift=jnp.float32(0),
    )
    if not config.normalize_reward:
        return state
    return state.replace(return_stats=normalise.init_return_stats(config.num_envs))


def act(parts: Parts, state: Any, obs: Array, key: Key, *, greedy: bool = False) -> Array:
    """The policy's action, or its mode if `greedy`, in the environment's range."""
    policy = parts.network.policy(state.params, normalise.see(state.obs_stats, obs))
    return policy.env_action(policy.mode() if greedy else policy.sample(key))


def value(parts: Parts, state: Any, obs: Array) -> Array:
    """The critic's value of observations of any leading shape."""
    return parts.network.value(state.params, normalise.see(state.obs_stats, obs))


def sampling(parts: Parts, state: Any, num_envs: int) -> tuple[Callable, Callable]:
    """`noise` and `policy` of a rollout: actions sampled from the state's policy, and `Extras`."""

    def noise(key: Key) -> Array:
        return parts.network.noise(key, (num_envs,))

    def policy(obs: Array, noise: Array) -> tuple[Array, Extras]:
        distribution = parts.network.policy(state.params, normalise.see(state.obs_stats, obs))
        raw_action = distribution.sample_from(noise)
        log_prob = distribution.log_prob(raw_action)
        return distribution.env_action(raw_action), Extras(raw_action, log_prob)

    return noise, policy


def collect(parts: Parts, state: Any, record: Record = "nothing") -> tuple[Any, Trajectory]:
    """Plays `num_steps` steps in all environments with the policy as it is."""
    noise, policy = sampling(parts, state, parts.config.num_envs)
    key, key_rollout = jax.random.split(state.key)
    vector, trajectory = rollout(
        parts.venv,
        state.env_params,
        state.vector,
        noise,
        policy,
        key_rollout,
        parts.config.num_steps,
        record,
    )
    return state.replace(key=key, vector=vector), trajectory


def at_progress(state: Any) -> Any:
    """The config with its schedules evaluated at the state's share of the run."""
    config = state.config
    learning_rate = objectives.schedule(
        "linear", config.learning_rate, config.learning_rate_final, state.progress
    )
    return config.replace(learning_rate=learning_rate, ent_coef=entropy.coefficient(state))


def finish(
    state: Any, trajectory: Trajectory, *, params: PyTree, opt_state: PyTree, entropy_now: Array
) -> Any:
    """The state after an update: what was learned, and what is counted once an update.

    Observations are counted only here: within an update, acting and learning must see the same.

    Args:
        state: with the key of the next update already in place.
        trajectory: what was learned from.
        params, opt_state: what came of it.
        entropy_now: the policy's mean entropy in this update, for entropy control.
    """
    return state.replace(
        params=params,
        opt_state=opt_state,
        obs_stats=normalise.update_stats(state.obs_stats, trajectory.obs, trajectory.valid),
        update=state.update + 1,
        ent_coef_shift=entropy.control(state, entropy_now),
    )
