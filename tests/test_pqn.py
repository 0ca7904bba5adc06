"""PQN's targets against a loop, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl import returns
from jaxrl.algorithms import pqn as module
from jaxrl.algorithms.pqn import PQNConfig, pqn
from jaxrl.environment import make
from jaxrl.errors import ConfigError, SpaceError

GAMMA, LAMBDA = 0.9, 0.7


def loop_q_lambda(reward, next_q, terminated, truncated):
    """Peng's Q(λ) forwards: every n-step return in full, weighed by (1 - λ) λ^(n-1)."""
    length = len(reward)
    targets = np.zeros(length)
    for t in range(length):
        total, weight, discount = 0.0, 1.0, 1.0
        for k in range(t, length):
            total += weight * discount * reward[k]
            discount *= GAMMA
            value = 0.0 if terminated[k] else next_q[k].max()
            last = terminated[k] or truncated[k] or k == length - 1
            total += weight * (1.0 if last else 1 - LAMBDA) * discount * value
            weight *= LAMBDA
            if last:
                break
        targets[t] = total
    return targets


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.2, 0.8]))
def test_targets_are_the_loop(seed, p):
    rng = np.random.default_rng(seed)
    reward, next_q = rng.normal(size=10), rng.normal(size=(10, 3))
    terminated, truncated = rng.random((2, 10)) < p
    ours = returns.lambda_returns(
        jnp.asarray(reward, jnp.float32),
        jnp.asarray(next_q, jnp.float32).max(-1),
        jnp.asarray(terminated),
        jnp.asarray(truncated),
        gamma=GAMMA,
        lambda_=LAMBDA,
    )
    np.testing.assert_allclose(
        ours, loop_q_lambda(reward, next_q, terminated, truncated), rtol=1e-4, atol=1e-5
    )


def test_targets_are_rlax_and_not_the_peers():
    """rlax's Q(λ) within one episode; carrying Q(s_{t+1}) on for Q(s_t) gives other numbers."""
    rng = np.random.default_rng(0)
    reward, next_q = jnp.asarray(rng.normal(size=8)), jnp.asarray(rng.normal(size=(8, 3)))
    never = jnp.zeros(8, bool)
    ours = returns.lambda_returns(reward, next_q.max(-1), never, never, gamma=GAMMA, lambda_=LAMBDA)
    theirs = rlax.q_lambda(
        jnp.zeros((8, 3)), jnp.zeros(8, int), reward, jnp.full(8, GAMMA), next_q, LAMBDA
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    shifted = returns.lambda_returns(
        reward, jnp.roll(next_q.max(-1), -1), never, never, gamma=GAMMA, lambda_=LAMBDA
    )
    assert float(jnp.abs(shifted - ours).max()) > 0.1


@pytest.mark.slow
def test_a_batch_has_the_targets_of_its_own_rollout(cartpole):
    """Row by row from the trajectory, `next_obs` valued as it was before a reset."""
    config = PQNConfig(num_envs=2, num_steps=12, num_minibatches=2, hidden_sizes=(8,))
    algorithm = pqn(cartpole[0], config.replace(gamma=GAMMA, q_lambda=LAMBDA))
    parts = algorithm.init.args[0]
    state = jax.jit(algorithm.init)(jax.random.key(0), cartpole[1], 4)
    state, trajectory = jax.jit(algorithm.collect)(state)
    batch = module.make_batch(parts, state, trajectory)
    next_q = np.asarray(parts.network.values(state.params, trajectory.next_obs))
    for lane in range(2):
        wanted = loop_q_lambda(
            np.asarray(trajectory.reward)[:, lane],
            next_q[:, lane],
            np.asarray(trajectory.terminated)[:, lane],
            np.asarray(trajectory.truncated)[:, lane],
        )
        np.testing.assert_allclose(batch.target.reshape(12, 2)[:, lane], wanted, rtol=1e-4)
    assert trajectory.terminated.any()


def test_what_it_cannot_take_is_refused(cartpole):
    with pytest.raises(SpaceError, match="Discrete action space is needed"):
        pqn(make("Pendulum-v1")[0])
    with pytest.raises(ConfigError, match="num_minibatches=7 does not divide"):
        pqn(cartpole[0], PQNConfig(num_minibatches=7))
    with pytest.raises(ConfigError, match="q_lambda=2"):
        pqn(cartpole[0], PQNConfig(q_lambda=2.0))
