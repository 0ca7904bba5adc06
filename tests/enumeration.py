"""A world so small that expectations are sums: 3 states, 2 actions, 3 steps, 216 trajectories.

It is there twice: as tables, from which probabilities, values and the gradient of the return are
exact, and as an environment with a tabular policy, so that the code that is proved is the real one.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxrl.distributions import Categorical, noise_for
from jaxrl.networks import ActorCritic
from jaxrl.on_policy import Extras
from jaxrl.types import Transition
from jaxrl_envs import base, spaces

STATES, ACTIONS, HORIZON = 3, 2, 3

_rng = np.random.default_rng(7)
START = np.array([0.5, 0.3, 0.2])
MOVE = _rng.dirichlet(np.ones(STATES), (STATES, ACTIONS))
REWARD = _rng.normal(1.0, 1.0, (STATES, ACTIONS))
THETA = _rng.normal(0.0, 0.7, (STATES, ACTIONS))
"""Logits of the policy whose gradient is looked at."""

_paths = np.array(list(itertools.product(*[range(STATES), range(ACTIONS)] * HORIZON)))
PATH_STATES, PATH_ACTIONS = _paths[:, 0::2], _paths[:, 1::2]
"""Every trajectory, `[216, 3]` each."""


@struct.dataclass
class TabularState(base.EnvState):
    """`where` is the state's number."""

    where: jax.Array


class Tabular(base.Environment):
    """The tables as an environment. Observations are one-hot over time and state, `[12]`."""

    @property
    def default_params(self) -> base.EnvParams:
        return base.EnvParams(max_steps_in_episode=HORIZON)

    def reset_env(self, key: Any, params: Any) -> Any:
        where = jax.random.choice(key, STATES, p=jnp.asarray(START)).astype(jnp.int32)
        state = TabularState(jnp.int32(0), where)
        return self.get_obs(state), state

    def step_env(self, key: Any, state: Any, action: Any, params: Any) -> Any:
        reward = jnp.asarray(REWARD, jnp.float32)[state.where, action]
        odds = jnp.log(jnp.asarray(MOVE, jnp.float32))[state.where, action]
        where = jax.random.categorical(key, odds).astype(jnp.int32)
        state = TabularState(state.time + 1, where)
        return self.get_obs(state), state, reward, self.is_terminated(state, params), {}

    def get_obs(self, state: Any, params: Any = None, key: Any = None) -> Any:
        return observation(state.time, state.where)

    def is_terminated(self, state: Any, params: Any) -> Any:
        return state.time >= HORIZON

    def action_space(self, params: Any = None) -> Any:
        return spaces.Discrete(ACTIONS)

    def observation_space(self, params: Any = None) -> Any:
        return spaces.Box(0.0, 1.0, ((HORIZON + 1) * STATES,))


def observation(time: Any, where: Any) -> Any:
    return jax.nn.one_hot(time * STATES + where, (HORIZON + 1) * STATES, dtype=float)


def network(theta: Any = THETA, values: Any = 0.0) -> ActorCritic:
    """A policy of one row of logits per state, and a critic of one value per time and state."""

    def policy(params: Any, obs: Any) -> Any:
        where = obs.reshape(*obs.shape[:-1], HORIZON + 1, STATES).sum(-2)
        return Categorical.from_logits(where @ params["actor"])

    def init(key: Any) -> Any:
        table = jnp.broadcast_to(jnp.asarray(values, float), ((HORIZON + 1) * STATES,))
        return {"actor": jnp.asarray(theta, float), "critic": table}

    return ActorCritic(
        init=init,
        policy=policy,
        value=lambda params, obs: obs @ params["critic"],
        noise=lambda key, leading: noise_for(key, leading, spaces.Discrete(ACTIONS)),
    )


def state_values(theta: Any, gamma: float) -> Any:
    """V of every time and state by backward induction, `[(HORIZON + 1) * STATES]`."""
    policy = jax.nn.softmax(jnp.asarray(theta))
    later = jnp.zeros(STATES)
    rows = [later]
    for _ in range(HORIZON):
        later = (policy * (REWARD + gamma * MOVE @ later)).sum(1)
        rows.insert(0, later)
    return jnp.concatenate(rows)


def expected_return(theta: Any, gamma: float) -> Any:
    """J(θ), the discounted return from the start distribution."""
    return START @ state_values(theta, gamma)[:STATES]


def probabilities(theta: Any) -> Any:
    """Of every trajectory, `[216]`."""
    policy = jax.nn.softmax(jnp.asarray(theta))
    chosen = policy[PATH_STATES, PATH_ACTIONS].prod(1)
    moves = MOVE[PATH_STATES[:, :-1], PATH_ACTIONS[:, :-1], PATH_STATES[:, 1:]].prod(1)
    return START[PATH_STATES[:, 0]] * moves * chosen


def all_trajectories() -> Transition:
    """Every trajectory as the rollout would give it, `[3, 216, ...]`, in the default float type.

    Where the last step leads to does not matter: it has terminated.
    """
    states, actions = jnp.asarray(PATH_STATES.T), jnp.asarray(PATH_ACTIONS.T, jnp.int32)
    time = jnp.arange(HORIZON)[:, None]
    following = jnp.concatenate([states[1:], states[:1]])
    last = jnp.broadcast_to(time == HORIZON - 1, states.shape)
    return Transition(
        obs=observation(time, states),
        action=actions,
        reward=jnp.asarray(REWARD)[states, actions],
        terminated=last,
        truncated=jnp.zeros_like(last),
        next_obs=observation(time + 1, following),
        extras=Extras(actions, jax.nn.log_softmax(jnp.asarray(THETA))[states, actions]),
        record=None,
        valid=jnp.ones_like(last),
    )
