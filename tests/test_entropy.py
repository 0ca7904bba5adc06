"""Entropy regularisation: schedules and control of the coefficient, estimators, refusals."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import entropy
from jaxrl.algorithms.actor_critic import ActorCriticConfig, a2c
from jaxrl.distributions import TanhGaussian
from jaxrl.errors import ConfigError, UnknownNameError
from jaxrl.networks import actor_critic
from jaxrl_envs import spaces

TWO = spaces.Discrete(2)
BOX = spaces.Box(-2.0, 2.0, (1,))


def state(progress=0.0, shift=0.0, **settings):
    config = ActorCriticConfig(**settings)
    return SimpleNamespace(config=config, progress=progress, ent_coef_shift=jnp.float32(shift))


def test_coefficient_is_a_number_or_a_schedule():
    plain = [entropy.coefficient(state(p, ent_coef=0.1)) for p in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(plain, 0.1)
    held = dict(ent_coef=0.1, ent_coef_final=0.0, ent_coef_hold_fraction=0.5)
    way = [entropy.coefficient(state(p, **held)) for p in (0.0, 0.5, 0.75, 1.0)]
    np.testing.assert_allclose(way, [0.1, 0.1, 0.05, 0.0], atol=1e-7)


def test_control_steps_toward_the_target_and_never_below_zero():
    settings = dict(ent_coef=0.01, entropy_target=0.5, ent_coef_delta=0.004)
    up = entropy.control(state(**settings), jnp.float32(0.3))
    down = entropy.control(state(**settings), jnp.float32(0.6))
    np.testing.assert_allclose([up, down], [0.004, -0.004], rtol=1e-6)
    lowest = state(shift=-0.009, **settings)
    lowest.ent_coef_shift = entropy.control(lowest, jnp.float32(0.6))
    np.testing.assert_allclose(lowest.ent_coef_shift, -0.01)
    assert entropy.coefficient(lowest) == 0
    free = state(shift=0.5, ent_coef=0.1)
    assert entropy.control(free, jnp.float32(0.0)) == 0.5


def test_control_holds_the_entropy_of_a_run(cartpole):
    """CartPole's policy would settle near 0.55 by then; held at 0.65 by a coefficient from 0 on."""
    config = ActorCriticConfig(
        hidden_sizes=(16,), learning_rate=3e-3, entropy_target=0.65, ent_coef_delta=2e-3
    )
    algorithm = a2c(cartpole[0], config)

    @jax.jit
    def run(key):
        state = algorithm.init(key, cartpole[1], 2000)
        step = lambda s, _: algorithm.learn(*algorithm.collect(s))  # noqa: E731
        return jax.lax.scan(step, state, None, length=2000)[1]

    metrics = run(jax.random.key(0))
    last = np.asarray(metrics["policy/entropy"].total)[-500:]
    assert abs(last.mean() - 0.65) < 0.02
    assert np.asarray(metrics["schedule/ent_coef"].total).max() > 0


def test_squashed_entropy_by_sample_or_by_its_base():
    network = actor_critic(spaces.Box(-1, 1, (3,)), BOX, squash=True, hidden_sizes=(4,))
    base = ActorCriticConfig(squash=True)
    sample = base.replace(entropy_estimator="sample")
    key = jax.random.key(0)
    assert entropy.noise(network, base, key, (5,)) is None
    assert entropy.noise(network, sample.replace(squash=False), key, (5,)) is None
    drawn = entropy.noise(network, sample, key, (5,))
    assert drawn.shape == (5, 1)

    low, high = jnp.array([-2.0]), jnp.array([2.0])
    policy = TanhGaussian(jnp.zeros((5, 1)), jnp.array([0.3]), low, high)
    np.testing.assert_array_equal(entropy.of(policy, None), policy.entropy())
    action = policy.sample_from(drawn)
    np.testing.assert_array_equal(entropy.of(policy, drawn), -policy.log_prob(action))


def test_sampled_entropy_has_the_right_gradient():
    """By log σ, against finite differences of the entropy integrated on a grid."""
    low, high = jnp.array([-2.0]), jnp.array([2.0])
    noise = jax.random.normal(jax.random.key(1), (20_000, 1))

    def sampled(log_std):
        policy = TanhGaussian(jnp.full((20_000, 1), 0.4), log_std[None], low, high)
        return entropy.of(policy, noise)

    def integrated(log_std):
        grid = np.linspace(-9, 9, 4001)
        weight = np.exp(-0.5 * grid**2) / np.exp(-0.5 * grid**2).sum()
        slope = 2 / np.cosh(0.4 + np.exp(log_std) * grid) ** 2
        return 0.5 * np.log(2 * np.pi * np.e) + log_std + (weight * np.log(slope)).sum()

    each = np.asarray(jax.jit(jax.jacfwd(sampled))(jnp.float32(0.2)))
    exact = (integrated(0.201) - integrated(0.199)) / 0.002
    assert abs(each.mean() - exact) < 4.5 * each.std() / np.sqrt(len(each))


@pytest.mark.parametrize(
    ("space", "changes", "words"),
    [
        (TWO, dict(entropy_target=0.7), "between 0 and 0.693"),
        (TWO, dict(entropy_target=0.0), "entropy_target=0.0 cannot be"),
        (TWO, dict(entropy_target=float("nan")), "entropy_target=nan cannot be"),
        (BOX, dict(squash=True, entropy_estimator="sample", entropy_target=1.4), "and 1.39"),
        (TWO, dict(entropy_target=0.5, ent_coef_final=0.0), "drop one of them"),
        (TWO, dict(ent_coef_hold_fraction=0.5, ent_coef_decay_fraction=0.5), "leaves nothing"),
        (TWO, dict(ent_coef_decay="exponential", ent_coef_final=0.1), "cannot go exponentially"),
    ],
)
def test_what_cannot_be_is_refused(space, changes, words):
    with pytest.raises(ConfigError, match=words):
        entropy.check(ActorCriticConfig(**changes), space)


def test_a_gaussians_entropy_may_be_anything():
    entropy.check(ActorCriticConfig(entropy_target=-3.0), BOX)
    entropy.check(ActorCriticConfig(entropy_target=5.0, squash=True), BOX)


def test_unknown_estimator_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="'sample'"):
        entropy.check(ActorCriticConfig(entropy_estimator="sampled"), BOX)


def test_a_schedule_longer_than_the_run_is_refused(cartpole):
    with pytest.raises(ConfigError, match=r"ent_coef_decay_fraction=1\.5 is out of range"):
        a2c(cartpole[0], ActorCriticConfig(ent_coef_decay_fraction=1.5))
