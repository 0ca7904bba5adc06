"""The actor-critic's own mathematics: TD errors, both gradients of the critic, V-trace, the lag."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from jaxrl.algorithms import actor_critic as module
from jaxrl.algorithms.actor_critic import ActorCriticConfig, a2c
from jaxrl.environment import make
from jaxrl.errors import ConfigError, UnknownNameError


@pytest.fixture(scope="module")
def collected(cartpole):
    """Parts of the notes' configuration, parameters, and a trajectory with ends of both kinds."""
    algorithm = a2c(cartpole[0], ActorCriticConfig.notes(num_steps=16, hidden_sizes=(8,)))
    state = jax.jit(algorithm.init)(jax.random.key(0), cartpole[1], 10)
    state, trajectory = jax.jit(algorithm.collect)(state)
    ends = jax.random.bernoulli(jax.random.key(1), 0.2, (2, *trajectory.reward.shape))
    trajectory = trajectory._replace(terminated=ends[0], truncated=ends[1])
    return algorithm.init.args[0], state.params, trajectory


def critic_loss(collected, **changes):
    parts, params, trajectory = collected
    config = parts.config.replace(**changes)

    def loss(critic):
        whole = params | {"critic": critic}
        return module.loss_fn(whole, trajectory, None, parts, config)[1]["loss/value"].total

    return jax.jit(jax.value_and_grad(loss))(params["critic"])


@pytest.mark.parametrize("stop", [True, False])
def test_critics_loss_and_gradient_are_rlax_td_learning(collected, stop):
    parts, params, trajectory = collected
    discount = 0.99 * (1.0 - trajectory.terminated)

    def theirs(critic):
        whole = params | {"critic": critic}
        value, next_value = (
            parts.network.value(whole, obs) for obs in (trajectory.obs, trajectory.next_obs)
        )
        td = jax.vmap(jax.vmap(rlax.td_learning, (0, 0, 0, 0, None)), (0, 0, 0, 0, None))
        errors = td(value, trajectory.reward, discount, next_value, stop)
        return 0.5 * jnp.square(errors).mean()

    ours = critic_loss(collected, stop_target_gradients=stop)
    expected = jax.jit(jax.value_and_grad(theirs))(params["critic"])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), ours, expected
    )


def test_notes_loss_is_the_square_of_the_td_error_and_its_actor_the_policy_gradient(collected):
    parts, params, trajectory = collected
    config = parts.config

    @jax.jit
    def both(params):
        value, next_value = (
            parts.network.value(params, obs) for obs in (trajectory.obs, trajectory.next_obs)
        )
        delta = trajectory.reward + 0.99 * (1 - trajectory.terminated) * next_value - value
        logits = parts.network.policy(params, trajectory.obs).log_probs.reshape(-1, 2)
        actor = rlax.policy_gradient_loss(
            logits,
            trajectory.action.reshape(-1),
            delta.reshape(-1),
            jnp.ones(delta.size),
        )
        return actor + jnp.square(delta).mean()

    loss, metrics = module.loss_fn(params, trajectory, None, parts, config)
    assert float(loss) == pytest.approx(float(both(params)), rel=1e-5)
    assert metrics["policy/approx_kl"].total == pytest.approx(0, abs=1e-6)


def test_vtrace_without_lag_is_a2c(collected):
    """Ratios of 1 change nothing: the same loss, the same gradient."""
    parts, params, trajectory = collected
    trajectory = trajectory._replace(truncated=jnp.zeros_like(trajectory.truncated))
    config = parts.config.replace(gae_lambda=1.0)

    def grads(config):
        loss = lambda p: module.loss_fn(p, trajectory, None, parts, config)[0]  # noqa: E731
        return jax.jit(jax.grad(loss))(params)

    # Ends were invented, so that V(next_obs_t) is not V(obs_{t+1}) there; only targets agree.
    plain, corrected = grads(config)["critic"], grads(config.replace(vtrace=True))["critic"]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), plain, corrected
    )


def test_actions_are_those_of_the_policy_of_policy_lag_updates_ago(cartpole):
    config = ActorCriticConfig(hidden_sizes=(8,), policy_lag=2, learning_rate=0.05)
    algorithm = a2c(cartpole[0], config)
    network = algorithm.init.args[0].network

    @jax.jit
    def update(state):
        collected, trajectory = algorithm.collect(state)
        return *algorithm.learn(collected, trajectory), trajectory

    @jax.jit
    def log_prob(params, trajectory):
        return network.policy(params, trajectory.obs).log_prob(trajectory.extras.raw_action)

    state = jax.jit(algorithm.init)(jax.random.key(0), cartpole[1], 10)
    params = [state.params] * 3
    for _ in range(5):
        state, metrics, trajectory = update(state)
        kept = trajectory.extras.log_prob
        np.testing.assert_allclose(log_prob(params[-3], trajectory), kept, atol=1e-5)
        params.append(state.params)
    assert np.abs(log_prob(params[-2], trajectory) - kept).max() > 1e-3
    assert metrics["policy/approx_kl"].total > 1e-6


def test_squash_with_sampled_entropy_and_normalisation_runs():
    env, params = make("Pendulum-v1")
    config = ActorCriticConfig.impala(
        hidden_sizes=(4,),
        squash=True,
        entropy_estimator="sample",
        normalize_obs=True,
        normalize_reward=True,
        shared_torso=True,
        optimizer="sgd",
    )
    algorithm = a2c(env, config)
    state = jax.jit(algorithm.init)(jax.random.key(0), params, 2)
    _, metrics = jax.jit(lambda s: algorithm.learn(*algorithm.collect(s)))(state)
    assert all(np.isfinite(m.total) for name, m in metrics.items() if name.startswith("loss/"))
    # Below the entropy of the uniform policy, which that before squashing is not bound by.
    assert metrics["policy/entropy"].total < np.log(4.0)


def test_configurations_are_what_they_say():
    notes, impala = ActorCriticConfig.notes(), ActorCriticConfig.impala(policy_lag=4)
    assert notes.num_steps == 1 and notes.gae_lambda == 0 and notes.vf_coef == 2
    assert notes.stop_target_gradients and notes.max_grad_norm is None and notes.ent_coef == 0
    assert impala.vtrace and impala.policy_lag == 4


def test_bad_settings_are_refused(cartpole):
    with pytest.raises(ConfigError, match="needs c_bar <= rho_bar"):
        a2c(cartpole[0], ActorCriticConfig(vtrace=True, c_bar=2.0))
    with pytest.raises(ConfigError, match="policy_lag=-1"):
        a2c(cartpole[0], ActorCriticConfig(policy_lag=-1))
    with pytest.raises(UnknownNameError, match="'rmsprop'"):
        a2c(cartpole[0], ActorCriticConfig(optimizer="rms_prop"))
