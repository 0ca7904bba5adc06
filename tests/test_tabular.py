"""Deep Q-learning on a problem small enough for value iteration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from jaxrl.algorithms import ALGORITHMS
from jaxrl.update import make_train
from jaxrl_envs import base, spaces

STATES, ACTIONS, GAMMA = 5, 3, 0.8
_rng = np.random.default_rng(0)
TRANSITION = _rng.dirichlet(np.ones(STATES), (STATES, ACTIONS)).astype(np.float32)
REWARD = _rng.normal(size=(STATES, ACTIONS)).astype(np.float32)
END = 0
"""The state that ends an episode."""


@struct.dataclass
class TableState(base.EnvState):
    state: jax.Array


class Table(base.Environment):
    """A random Markov decision process; episodes end in one state, or are cut after 7 steps."""

    @property
    def default_params(self):
        return base.EnvParams(max_steps_in_episode=7)

    def get_obs(self, state, params=None, key=None):
        return jax.nn.one_hot(state.state, STATES)

    def reset_env(self, key, params):
        state = TableState(jnp.int32(0), jax.random.randint(key, (), 1, STATES))
        return self.get_obs(state), state

    def step_env(self, key, state, action, params):
        reward = jnp.asarray(REWARD)[state.state, action]
        chances = jnp.asarray(TRANSITION)[state.state, action]
        state = TableState(state.time + 1, jax.random.choice(key, STATES, p=chances))
        return self.get_obs(state), state, reward, self.is_terminated(state, params), {}

    def is_terminated(self, state, params):
        return state.state == END

    def action_space(self, params=None):
        return spaces.Discrete(ACTIONS)

    def observation_space(self, params=None):
        return spaces.Box(0.0, 1.0, (STATES,))


def value_iteration():
    q = np.zeros((STATES, ACTIONS))
    for _ in range(200):
        value = q.max(1)
        value[END] = 0.0
        q = REWARD + GAMMA * TRANSITION @ value
    return q


SETTINGS = {
    "dqn": dict(
        num_steps=4,
        num_envs=8,
        buffer_size=100_000,
        batch_size=128,
        replay_ratio=1 / 8,
        learning_starts=1000,
        target_period=20,
        epsilon_final=1.0,
        loss="squared",
    ),
    # Greedy after the first step, Q(λ) is on-policy in part: λ = 0 is Q-learning proper.
    "pqn": dict(num_envs=32, num_steps=8, num_minibatches=2, q_lambda=0.0, epsilon_final=1.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_learns_the_values_of_value_iteration(name):
    entry = ALGORITHMS[name]
    shared = dict(
        learning_rate=3e-3,
        learning_rate_final=0.0,
        gamma=GAMMA,
        hidden_sizes=(32,),
        layer_norm=False,
    )
    algorithm = entry.build(Table(), entry.config(**(shared | SETTINGS[name])))
    train = jax.jit(make_train(algorithm, 200_000, num_points=1))
    state, _ = train(jax.random.key(0), Table().default_params)
    parts = algorithm.init.args[0]
    q = np.asarray(parts.network.values(state.params, jnp.eye(STATES)))
    np.testing.assert_allclose(q[1:], value_iteration()[1:], atol=0.1)
