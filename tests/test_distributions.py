"""Distributions against distrax, against sums and integrals, and against their own samples."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from jaxrl import distributions
from jaxrl.distributions import Categorical, DiagonalGaussian, TanhGaussian
from jaxrl.errors import SpaceError
from jaxrl_envs import spaces

LOGITS = jnp.array([[2.0, -1.0, 0.5, 0.0], [0.0, 0.0, 3.0, -2.0]])
LOW, HIGH = jnp.array([-2.0, 0.0]), jnp.array([2.0, 3.0])
MEAN = jnp.array([[0.3, -0.5], [-1.0, 0.2], [0.0, 4.0]])
LOG_STD = jnp.array([-0.5, 0.2])
KEY = jax.random.key(0)
SAMPLES = 20_000


def gaussian(mean=MEAN, log_std=LOG_STD, kind=DiagonalGaussian):
    return kind(mean, log_std, LOW, HIGH)


def squashed(mean=MEAN, log_std=LOG_STD):
    return gaussian(mean, log_std, TanhGaussian)


def distrax_squashed(mean, log_std):
    """The same density, built by distrax from its own bijectors."""
    scale = (HIGH - LOW) / 2
    affine = distrax.ScalarAffine(shift=(HIGH + LOW) / 2, scale=scale)
    bijector = distrax.Block(distrax.Chain([affine, distrax.Tanh()]), 1)
    base = distrax.MultivariateNormalDiag(mean, jnp.broadcast_to(jnp.exp(log_std), mean.shape))
    return distrax.Transformed(base, bijector)


ALL = [
    pytest.param(Categorical.from_logits(LOGITS), id="categorical"),
    pytest.param(gaussian(), id="gaussian"),
    pytest.param(squashed(), id="tanh"),
]


@pytest.mark.parametrize("dist", ALL)
def test_samples_are_their_noise(dist):
    """A rollout draws the noise of all its steps at once; the samples must be the same ones."""
    np.testing.assert_array_equal(dist.sample(KEY), dist.sample_from(dist.noise(KEY)))
    other = jax.random.key(1)
    assert not np.array_equal(dist.noise(KEY), dist.noise(other))


@pytest.mark.parametrize("dist", ALL)
def test_works_inside_jit_and_vmap(dist):
    log_prob = dist.log_prob(dist.sample(KEY))
    jitted = jax.jit(lambda d, key: d.log_prob(d.sample(key)))(dist, KEY)
    np.testing.assert_allclose(jitted, log_prob, rtol=1e-5, atol=1e-6)
    assert log_prob.shape == dist.entropy().shape == dist.kl_divergence(dist).shape
    np.testing.assert_allclose(dist.kl_divergence(dist), 0, atol=1e-6)


@pytest.mark.parametrize("dist", ALL)
def test_fisher_product_is_the_hessian_of_the_divergence(dist):
    """By autodiff, over logits for the categorical, whose log-probabilities are not free."""

    def divergence(other):
        if isinstance(other, Categorical):
            other = Categorical.from_logits(other.log_probs)
        return dist.kl_divergence(other).sum()

    rng = np.random.default_rng(0)
    tangent = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype), dist)
    if not isinstance(dist, Categorical):
        tangent = tangent._replace(low=jnp.zeros(2), high=jnp.zeros(2))
    _, expected = jax.jit(lambda d, t: jax.jvp(jax.grad(divergence), (d,), (t,)))(dist, tangent)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        dist.fisher_product(tangent),
        expected,
    )


class TestCategorical:
    dist = Categorical.from_logits(LOGITS)
    other = Categorical.from_logits(-LOGITS)
    theirs = distrax.Categorical(logits=LOGITS)

    def test_is_distrax(self):
        for action in range(4):
            actions = jnp.full(2, action)
            np.testing.assert_allclose(
                self.dist.log_prob(actions), self.theirs.log_prob(actions), rtol=1e-5
            )
        np.testing.assert_allclose(self.dist.entropy(), self.theirs.entropy(), rtol=1e-5)
        np.testing.assert_array_equal(self.dist.mode(), self.theirs.mode())
        np.testing.assert_allclose(
            self.dist.kl_divergence(self.other),
            self.theirs.kl_divergence(distrax.Categorical(logits=-LOGITS)),
            rtol=1e-5,
        )

    def test_is_rlax(self):
        np.testing.assert_allclose(
            self.dist.kl_divergence(self.other),
            rlax.categorical_kl_divergence(LOGITS, -LOGITS),
            rtol=1e-5,
        )
        np.testing.assert_allclose(
            -self.dist.entropy().mean(), rlax.entropy_loss(LOGITS, jnp.ones(2)), rtol=1e-5
        )
        actions = jnp.array([1, 2])
        np.testing.assert_allclose(
            jnp.exp(self.dist.log_prob(actions) - self.other.log_prob(actions)),
            rlax.categorical_importance_sampling_ratios(LOGITS, -LOGITS, actions),
            rtol=1e-5,
        )

    def test_kl_goes_from_self_to_other(self):
        p, q = jax.nn.softmax(LOGITS), jax.nn.softmax(-LOGITS)
        forward, backward = ((a * jnp.log(a / b)).sum(-1) for a, b in ((p, q), (q, p)))
        np.testing.assert_allclose(self.dist.kl_divergence(self.other), forward, rtol=1e-5)
        assert (jnp.abs(forward - backward) > 0.01).any()

    def test_gradients_are_distrax(self):
        actions = jnp.array([1, 2])

        def ours(logits):
            dist = Categorical.from_logits(logits)
            return (dist.log_prob(actions) + 0.3 * dist.entropy()).sum()

        def theirs(logits):
            dist = distrax.Categorical(logits=logits)
            return (dist.log_prob(actions) + 0.3 * dist.entropy()).sum()

        np.testing.assert_allclose(
            jax.grad(ours)(LOGITS), jax.grad(theirs)(LOGITS), rtol=1e-4, atol=1e-6
        )

    def test_samples_follow_the_probabilities(self):
        probs = jax.nn.softmax(LOGITS)
        many = Categorical.from_logits(jnp.broadcast_to(LOGITS, (SAMPLES, 2, 4)))
        drawn = many.sample(KEY)
        assert drawn.dtype == jnp.int32
        shares = jax.nn.one_hot(drawn, 4).mean(0)
        error = np.sqrt(probs * (1 - probs) / SAMPLES)
        assert (np.abs(shares - probs) < 4.5 * error).all()

    def test_impossible_actions(self):
        """Masked logits: never drawn, no NaN in entropy, divergence or gradients."""
        masked = LOGITS.at[:, 1].set(-jnp.inf)

        def total(logits):
            dist = Categorical.from_logits(jnp.where(jnp.arange(4) == 1, -jnp.inf, logits))
            return dist.entropy().sum() + dist.log_prob(jnp.array([0, 2])).sum()

        dist = Categorical.from_logits(masked)
        possible = jnp.delete(LOGITS, 1, axis=1)
        np.testing.assert_allclose(
            dist.entropy(), distrax.Categorical(logits=possible).entropy(), rtol=1e-5
        )
        np.testing.assert_allclose(dist.kl_divergence(dist), 0, atol=1e-6)
        assert jnp.isinf(self.dist.kl_divergence(dist)).all()
        assert jnp.isfinite(jax.grad(total)(LOGITS)).all()
        many = Categorical.from_logits(jnp.broadcast_to(masked, (1000, 2, 4)))
        assert (many.sample(KEY) != 1).all()

    def test_environment_gets_the_action_itself(self):
        actions = jnp.array([3, 0])
        np.testing.assert_array_equal(self.dist.env_action(actions), actions)


class TestDiagonalGaussian:
    def test_is_distrax(self):
        scale = jnp.broadcast_to(jnp.exp(LOG_STD), MEAN.shape)
        theirs = distrax.MultivariateNormalDiag(MEAN, scale)
        other = distrax.MultivariateNormalDiag(MEAN + 1, 2 * scale)
        raw = gaussian().sample(KEY)
        np.testing.assert_allclose(gaussian().log_prob(raw), theirs.log_prob(raw), rtol=1e-5)
        np.testing.assert_allclose(gaussian().entropy(), theirs.entropy(), rtol=1e-5)
        np.testing.assert_allclose(
            gaussian().kl_divergence(gaussian(MEAN + 1, LOG_STD + np.log(2))),
            theirs.kl_divergence(other),
            rtol=1e-5,
        )

    def test_log_prob_by_hand(self):
        """Standard normal at 0 and 1: -½ log 2π each, and ½ less."""
        dist = gaussian(jnp.zeros(2), jnp.zeros(2))
        np.testing.assert_allclose(
            dist.log_prob(jnp.array([0.0, 1.0])), -np.log(2 * np.pi) - 0.5, rtol=1e-6
        )

    def test_only_the_environment_sees_the_clip(self):
        """Log-probabilities are of what was sampled: clipping first would bias the ratio."""
        dist = gaussian(jnp.zeros(2), jnp.zeros(2))
        raw = jnp.array([5.0, -3.0])
        np.testing.assert_array_equal(dist.env_action(raw), [2.0, 0.0])
        assert dist.log_prob(raw) < dist.log_prob(dist.env_action(raw)) - 1

    def test_moments_of_samples(self):
        many = gaussian(jnp.broadcast_to(MEAN, (SAMPLES, *MEAN.shape)))
        drawn = many.sample(KEY)
        std = np.exp(LOG_STD)
        assert (np.abs(drawn.mean(0) - MEAN) < 4.5 * std / np.sqrt(SAMPLES)).all()
        np.testing.assert_allclose(drawn.std(0), np.broadcast_to(std, MEAN.shape), rtol=0.03)

    def test_unbounded_space(self):
        box = spaces.Box(-jnp.inf, jnp.inf, (2,))
        dist = distributions.from_outputs(MEAN, LOG_STD, box)
        np.testing.assert_array_equal(dist.env_action(100 * MEAN), 100 * MEAN)


class TestTanhGaussian:
    def test_is_distrax(self):
        dist = squashed()
        raw = dist.sample(KEY)
        theirs = distrax_squashed(MEAN, LOG_STD).log_prob(dist.env_action(raw))
        np.testing.assert_allclose(dist.log_prob(raw), theirs, rtol=1e-3, atol=1e-3)

    def test_density_integrates_to_one(self):
        """Over the actions themselves, so that a wrong or missing scale would show."""
        low, high = jnp.array([-2.0]), jnp.array([2.0])
        action = jnp.linspace(-2, 2, 20_001)[1:-1]
        dist = TanhGaussian(jnp.array([0.3]), jnp.array([-0.7]), low, high)
        density = jnp.exp(dist.log_prob(jnp.arctanh(action / 2)[:, None]))
        np.testing.assert_allclose(density.sum() * 4 / 20_000, 1, rtol=1e-3)

    def test_far_out_is_finite(self):
        """tanh(50) is 1 in float32: the log of `1 - tanh²` would be -∞."""
        raw = jnp.array([[50.0, -50.0], [200.0, 0.0]])
        dist = squashed(jnp.zeros((2, 2)))
        value, grad = jax.value_and_grad(lambda u: dist.log_prob(u).sum())(raw)
        assert jnp.isfinite(value)
        assert jnp.isfinite(grad).all()

    def test_actions_stay_within_bounds(self):
        raw = jnp.array([[-1e3, -1e3], [0.0, 0.0], [1e3, 1e3]])
        np.testing.assert_allclose(squashed().env_action(raw), [LOW, (LOW + HIGH) / 2, HIGH])

    def test_divergence_is_that_of_the_normals(self):
        """Against the mean log-ratio of samples, which knows nothing of this shortcut."""
        mean = jnp.broadcast_to(MEAN[0], (SAMPLES, 2))
        one, two = squashed(mean), squashed(mean + 0.4, LOG_STD - 0.2)
        raw = one.sample(KEY)
        log_ratio = one.log_prob(raw) - two.log_prob(raw)
        error = 4.5 * log_ratio.std() / np.sqrt(SAMPLES)
        assert abs(log_ratio.mean() - one.kl_divergence(two)[0]) < error

    def test_sampled_entropy_is_of_the_squashed_action(self):
        """`H(u) + E[log |da/du|]`, the second term integrated on a grid."""
        mean, log_std = MEAN[0], LOG_STD
        std = np.exp(log_std)
        grid = np.linspace(-8, 8, 2001)
        weight = np.exp(-0.5 * grid**2)
        weight /= weight.sum()
        expected = float(gaussian(mean).entropy())
        for i in range(2):
            slope = (HIGH[i] - LOW[i]) / 2 / np.cosh(mean[i] + std[i] * grid) ** 2
            expected += (weight * np.log(slope)).sum()
        sampled = squashed(jnp.broadcast_to(mean, (SAMPLES, 2))).sample_entropy(KEY)
        assert abs(sampled.mean() - expected) < 4.5 * sampled.std() / np.sqrt(SAMPLES)
        np.testing.assert_allclose(squashed(mean).entropy(), gaussian(mean).entropy())


class TestFromSpaces:
    def test_head_size(self):
        assert distributions.head_size(spaces.Discrete(5)) == 5
        assert distributions.head_size(spaces.Box(-1.0, 1.0, (3,))) == 3
        with pytest.raises(SpaceError, match="one axis"):
            distributions.head_size(spaces.Box(-1.0, 1.0, (3, 2)))
        with pytest.raises(SpaceError):
            distributions.head_size("left or right")

    def test_kinds(self):
        box = spaces.Box(LOW, HIGH)
        discrete = distributions.from_outputs(LOGITS, None, spaces.Discrete(4))
        assert isinstance(discrete, Categorical)
        assert isinstance(distributions.from_outputs(MEAN, LOG_STD, box), DiagonalGaussian)
        squash = distributions.from_outputs(MEAN, LOG_STD, box, squash=True)
        assert isinstance(squash, TanhGaussian)
        np.testing.assert_array_equal(squash.low, LOW)
        np.testing.assert_array_equal(squash.high, HIGH)

    @pytest.mark.parametrize(
        ("space", "log_std"), [(spaces.Discrete(4), None), (spaces.Box(LOW, HIGH), LOG_STD)]
    )
    def test_noise_before_the_outputs_is_the_distributions_own(self, space, log_std):
        size = distributions.head_size(space)
        dist = distributions.from_outputs(jnp.ones((3, size)), log_std, space)
        np.testing.assert_array_equal(distributions.noise_for(KEY, (3,), space), dist.noise(KEY))
