"""The actor-critic's own mathematics: TD errors, both gradients of the critic, V-trace, the lag."""

import enumeration
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from jaxrl.algorithms import actor_critic as module
from jaxrl.algorithms.actor_critic import ActorCriticConfig, a2c
from jaxrl.distributions import Categorical
from jaxrl.environment import make
from jaxrl.errors import ConfigError, UnknownNameError
from jaxrl.on_policy import Extras
from jaxrl.types import Transition


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
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, expected
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
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), plain, corrected
    )


def expected_actor_gradient(theta, old, values, **changes):
    """The actor's estimate, averaged over all trajectories of an older policy, `[3, 2]`."""
    config = ActorCriticConfig.notes(num_steps=3, num_envs=1, **changes)
    config = jax.tree.map(jnp.float64, config)
    parts = a2c(enumeration.Tabular(), ActorCriticConfig.notes(num_steps=3)).init.args[0]
    parts = parts._replace(network=enumeration.network(theta, values))
    params = parts.network.init(None)
    states, actions = enumeration.PATH_STATES.T, enumeration.PATH_ACTIONS.T
    trajectory = enumeration.all_trajectories()
    log_prob = jax.nn.log_softmax(jnp.asarray(old))[states, actions]
    trajectory = trajectory._replace(extras=trajectory.extras._replace(log_prob=log_prob))

    def of_one(episode):
        one = jax.tree.map(lambda x: x[:, None], episode)
        loss = lambda p: module.loss_fn(p, one, None, parts, config)[1]["loss/policy"].total  # noqa: E731
        return -3 * jax.grad(loss)(params)["actor"]

    each = jax.vmap(of_one, in_axes=1)(trajectory)
    return jnp.tensordot(enumeration.probabilities(jnp.asarray(old)), each, 1)


def action_gains(theta, old):
    """`Σ_t Σ_s P_old(s_t = s) Σ_a ∇π(a|s) Q_t(s, a)` at γ = 1, from the tables."""
    theta = jnp.asarray(theta)
    later = enumeration.state_values(theta, 1.0).reshape(-1, enumeration.STATES)
    walk = jnp.einsum("sa,sat->st", jax.nn.softmax(jnp.asarray(old)), jnp.asarray(enumeration.MOVE))
    where, total = jnp.asarray(enumeration.START), 0.0
    for t in range(enumeration.HORIZON):
        gains = enumeration.REWARD + enumeration.MOVE @ later[t + 1]
        chosen = lambda th, w=where, g=gains: w @ (jax.nn.softmax(th) * g).sum(1)  # noqa: E731
        total += jax.grad(chosen)(theta)
        where = where @ walk
    return total


def test_the_td_errors_of_the_true_values_give_the_gradient():
    """On policy, one step: the loss of the real actor-critic against the tables."""
    with jax.enable_x64(True):
        theta = enumeration.THETA
        true = enumeration.state_values(theta, 1.0)
        ours = expected_actor_gradient(theta, theta, true, gamma=1.0)
        exact = jax.grad(enumeration.expected_return)(jnp.asarray(theta), 1.0)
        np.testing.assert_allclose(ours, exact, rtol=0, atol=1e-9)
        np.testing.assert_allclose(ours, action_gains(theta, theta), rtol=0, atol=1e-9)
        wrong = expected_actor_gradient(theta, theta, 0 * true, gamma=1.0)
        assert np.abs(wrong - exact).max() > 0.05


def test_vtrace_corrects_the_actions_of_an_older_policy():
    """Without a bound on ratios each action counts as if the new policy had taken it, where the
    old one was, and with any values; without V-trace it does not."""
    with jax.enable_x64(True):
        theta = enumeration.THETA
        old = theta + np.random.default_rng(1).normal(0, 1, theta.shape)
        settings = dict(gamma=1.0, gae_lambda=1.0)
        free = dict(vtrace=True, rho_bar=1e9, c_bar=1e9)
        exact = action_gains(theta, old)
        for values in (0.0, enumeration.state_values(theta, 1.0)):
            ours = expected_actor_gradient(theta, old, values, **settings, **free)
            np.testing.assert_allclose(ours, exact, rtol=0, atol=1e-9)
        wrong = expected_actor_gradient(theta, old, 0.0, **settings)
        assert np.abs(wrong - exact).max() > 0.1


def test_critic_finds_the_values_of_a_random_walk():
    """Five states in a row, left and right alike, 1 for leaving to the right: V = (I - P)⁻¹ r."""
    states, config = np.arange(5), jax.tree.map(jnp.float32, ActorCriticConfig.notes(gamma=1.0))
    true = np.linalg.solve(np.eye(5) - 0.5 * (np.eye(5, k=1) + np.eye(5, k=-1)), [0, 0, 0, 0, 0.5])
    here = np.concatenate([states, states])
    there = np.concatenate([states - 1, states + 1])
    ended = (there < 0) | (there > 4)
    zeros = jnp.zeros((1, 10), jnp.int32)
    trajectory = Transition(
        obs=jax.nn.one_hot(here, 5)[None],
        action=zeros,
        reward=jnp.asarray(there > 4, jnp.float32)[None],
        terminated=jnp.asarray(ended)[None],
        truncated=jnp.zeros((1, 10), bool),
        next_obs=jax.nn.one_hot(np.where(ended, 0, there), 5)[None],
        extras=Extras(zeros, jnp.full((1, 10), np.log(0.5))),
        record=None,
    )
    network = enumeration.network()._replace(
        policy=lambda params, obs: Categorical.from_logits(jnp.zeros((*obs.shape[:-1], 2)))
    )
    parts = module.Parts(network, None, config)

    def step(values, _):
        loss = lambda v: module.loss_fn({"critic": v}, trajectory, None, parts, config)[0]  # noqa: E731
        return values - 0.5 * jax.grad(loss)(values), None

    values = jax.lax.scan(step, jnp.zeros(5), None, length=1000)[0]
    np.testing.assert_allclose(values, true, atol=1e-2)
    np.testing.assert_allclose(true, (states + 1) / 6)


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


@pytest.mark.slow
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
    with pytest.raises(ConfigError, match="needs two rows"):
        a2c(cartpole[0], ActorCriticConfig.notes(num_envs=1, normalize_advantage=True))
    with pytest.raises(UnknownNameError, match="'rmsprop'"):
        a2c(cartpole[0], ActorCriticConfig(optimizer="rms_prop"))
