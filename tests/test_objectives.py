"""Objectives against hand-worked numbers, against rlax, and where float32 is treacherous."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from jaxrl import objectives
from jaxrl.errors import UnknownNameError

EPS = 0.2


def rows(seed, count=3, size=64):
    return jax.random.normal(jax.random.key(seed), (count, size))


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "slope"),
    [
        (1.5, 2.0, 2.4, 0.0),  # better action, taken too often already: capped, no gradient
        (0.5, 2.0, 1.0, 1.0),  # better action, taken too rarely: pushed back
        (1.5, -2.0, -3.0, -3.0),  # worse action, taken too often: pushed back
        (0.5, -2.0, -1.6, 0.0),  # worse action, taken rarely enough: capped, no gradient
        (1.1, 2.0, 2.2, 2.2),  # within the interval
    ],
)
def test_clipped_surrogate_by_hand(ratio, advantage, expected, slope):
    """All four cases of sign and side. The slope is by the log-ratio: `r A` or nothing."""

    def objective(log_ratio):
        return objectives.clipped_surrogate(log_ratio, jnp.array([advantage]), EPS)[0]

    value, grad = jax.value_and_grad(objective)(jnp.log(jnp.array([ratio])))
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(grad[0], slope, rtol=1e-6)


def test_clipped_surrogate_is_rlax():
    log_ratio, advantage, _ = rows(0)
    ours, grads = jax.value_and_grad(
        lambda x: objectives.clipped_surrogate(x, advantage, EPS).mean()
    )(log_ratio)
    theirs, their_grads = jax.value_and_grad(
        lambda x: -rlax.clipped_surrogate_pg_loss(jnp.exp(x), advantage, EPS)
    )(log_ratio)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(grads, their_grads, rtol=1e-5, atol=1e-7)


def test_at_the_old_policy_the_surrogate_is_the_policy_gradient():
    """What makes the first minibatch of an update a plain policy-gradient step."""
    log_prob, advantage, _ = rows(1)
    surrogate = jax.grad(
        lambda x: objectives.clipped_surrogate(x - log_prob, advantage, EPS).mean()
    )(log_prob)
    plain = jax.grad(lambda x: objectives.policy_gradient(x, advantage).mean())(log_prob)
    np.testing.assert_allclose(surrogate, plain, rtol=1e-6)


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "slope"),
    [
        (9.0, -2.0, -6.0, 0.0),  # a bad action, now taken nine times as often: no more than c A
        (2.0, -2.0, -4.0, -4.0),  # not that far: PPO's own
        (9.0, 2.0, 2.4, 0.0),  # good actions know no floor
    ],
)
def test_dual_clip_by_hand(ratio, advantage, expected, slope):
    def objective(log_ratio):
        return objectives.dual_clipped_surrogate(log_ratio, jnp.array([advantage]), EPS, 3.0)[0]

    value, grad = jax.value_and_grad(objective)(jnp.log(jnp.array([ratio])))
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(grad[0], slope, rtol=1e-6)


def test_penalty_is_the_divergence_and_so_is_its_gradient():
    """Averaged over π_old by enumeration, with no advantage: -kl_coef · KL(π_old‖π_θ)."""
    old, new = jax.nn.log_softmax(rows(6, count=2, size=5))

    def sampled(logits):
        log_ratio = jax.nn.log_softmax(logits) - old
        each = objectives.kl_penalized_surrogate(log_ratio, jnp.zeros(5), 0.5)
        return (jnp.exp(old) * each).sum()

    def exact(logits):
        return -0.5 * (jnp.exp(old) * (old - jax.nn.log_softmax(logits))).sum()

    ours, theirs = jax.value_and_grad(sampled)(new), jax.value_and_grad(exact)(new)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), ours, theirs)


@pytest.mark.parametrize("stop", [True, False])
def test_value_loss_and_its_gradient_are_rlax_td_learning(stop):
    """Semi-gradient and residual gradient of the one-step TD error, terminations included."""
    value, next_value, reward = rows(7)
    discount = 0.9 * (rows(8, count=1)[0] > -0.5)

    def ours(v, v_next):
        return objectives.squared_value_loss(v, reward + discount * v_next, stop)

    def theirs(v, v_next):
        errors = jax.vmap(rlax.td_learning, (0, 0, 0, 0, None))(v, reward, discount, v_next, stop)
        return 0.5 * jnp.square(errors).mean()

    got = jax.value_and_grad(ours, (0, 1))(value, next_value)
    expected = jax.value_and_grad(theirs, (0, 1))(value, next_value)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, expected)
    assert bool((got[1][1] == 0).all()) == stop


def test_policy_gradient_is_rlax():
    logits = jax.random.normal(jax.random.key(9), (64, 4))
    _, advantage, _ = rows(10)
    actions = jnp.arange(64) % 4

    def ours(logits):
        log_prob = jax.nn.log_softmax(logits)[jnp.arange(64), actions]
        return -objectives.policy_gradient(log_prob, advantage).mean()

    def theirs(logits):
        return rlax.policy_gradient_loss(logits, actions, advantage, jnp.ones(64))

    np.testing.assert_allclose(
        jax.grad(ours)(logits), jax.grad(theirs)(logits), rtol=1e-5, atol=1e-7
    )


def test_policy_gradient_leaves_the_advantage_alone():
    log_prob, advantage, _ = rows(2)
    by_log_prob, by_advantage = jax.grad(
        lambda lp, a: objectives.policy_gradient(lp, a).sum(), argnums=(0, 1)
    )(log_prob, advantage)
    np.testing.assert_array_equal(by_log_prob, advantage)
    np.testing.assert_array_equal(by_advantage, 0)


def test_approx_kl_is_unbiased():
    """Averaged over π_old exactly, by enumeration, it is KL(π_old‖π_θ)."""
    old, new = jax.nn.log_softmax(rows(3, count=2, size=5))
    each = jax.vmap(lambda x: objectives.approx_kl(x[None]))(new - old)
    kl = (jnp.exp(old) * (old - new)).sum()
    np.testing.assert_allclose((jnp.exp(old) * each).sum(), kl, rtol=1e-4)
    assert kl > 0.05  # or the direction would not be told from the other


def test_approx_kl_of_no_change_is_zero():
    assert objectives.approx_kl(jnp.zeros(8)) == 0


def test_approx_kl_is_never_below_rounding():
    spread = jnp.concatenate([jnp.linspace(-1, 1, 201), jnp.logspace(-6, -2, 50)])
    values = jax.vmap(lambda x: objectives.approx_kl(x[None]))(spread)
    assert values.min() > -2e-7


def test_clip_fraction_by_hand():
    ratio = jnp.array([0.5, 0.85, 1.0, 1.15, 1.5])
    np.testing.assert_allclose(objectives.clip_fraction(jnp.log(ratio), EPS), 0.4)


def test_squared_value_loss_by_hand():
    value, target = jnp.array([1.0, 2.0]), jnp.array([3.0, 2.0])
    loss, grads = jax.value_and_grad(objectives.squared_value_loss, argnums=(0, 1))(value, target)
    np.testing.assert_allclose(loss, 1.0)  # half of (4 + 0) / 2
    np.testing.assert_allclose(grads[0], [-1.0, 0.0])
    np.testing.assert_array_equal(grads[1], 0)


@pytest.mark.parametrize(
    ("value", "target", "loss", "slope"),
    [
        (1.1, 3.0, 0.5 * 1.9**2, -1.9),  # little changed: the plain loss
        (2.0, 3.0, 0.5 * 1.8**2, 0.0),  # already moved far toward the target: no gradient
        (2.0, 0.0, 0.5 * 2.0**2, 2.0),  # moved far away from it: the plain loss
    ],
)
def test_clipped_value_loss_by_hand(value, target, loss, slope):
    """The old value is 1, the clip 0.2."""

    def of(value):
        return objectives.clipped_value_loss(value, jnp.array([1.0]), jnp.array([target]), 0.2)

    got, grad = jax.value_and_grad(of)(jnp.array([value]))
    np.testing.assert_allclose(got, loss, rtol=1e-5)
    np.testing.assert_allclose(grad[0], slope, rtol=1e-5, atol=1e-6)


def test_clipped_value_loss_with_a_wide_clip_is_the_squared_one():
    value, old, target = rows(4)
    wide = objectives.clipped_value_loss(value, old, target, 100.0)
    np.testing.assert_allclose(wide, objectives.squared_value_loss(value, target), rtol=1e-4)


class TestNormalizeAdvantage:
    def test_mean_and_deviation(self):
        ours = objectives.normalize_advantage(5 + 3 * rows(5, count=1)[0])
        np.testing.assert_allclose(ours.mean(), 0, atol=1e-6)
        np.testing.assert_allclose(ours.std(), 1, rtol=1e-5)

    @pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, -1e6])
    @pytest.mark.parametrize("size", [1, 3, 7, 64])
    def test_equal_ones_are_exactly_zero(self, value, size):
        """Numbers that float32 cannot hold: the mean of equals need not equal them."""
        ours = jax.jit(objectives.normalize_advantage)(jnp.full(size, value))
        np.testing.assert_array_equal(ours, 0)

    def test_a_nan_is_not_turned_into_zeros(self):
        ours = objectives.normalize_advantage(jnp.array([1.0, jnp.nan, 2.0]))
        assert jnp.isnan(ours).all()


def test_explained_variance_by_hand():
    target = jnp.array([0.0, 2.0, 4.0])
    np.testing.assert_allclose(objectives.explained_variance(target, target), 1)
    np.testing.assert_allclose(objectives.explained_variance(jnp.full(3, 9.0), target), 0)
    np.testing.assert_allclose(objectives.explained_variance(target / 2, target), 0.75)
    np.testing.assert_allclose(objectives.explained_variance(-target, target), -3, rtol=1e-6)
    assert jnp.isnan(objectives.explained_variance(target, jnp.ones(3)))


class TestSchedule:
    @pytest.mark.parametrize("decay", ["linear", "cosine", "exponential"])
    @pytest.mark.parametrize("fraction", [0.3, 1.0])
    def test_begins_and_ends_exactly(self, decay, fraction):
        """Exactly: 2.5e-4 + (1e-7 - 2.5e-4) is not 1e-7 in float32."""
        initial, final = jnp.float32(2.5e-4), jnp.float32(1e-7)
        at = jax.jit(lambda p: objectives.schedule(decay, initial, final, p, fraction))
        np.testing.assert_allclose(at(0.0), initial, rtol=1e-6)
        assert at(jnp.float32(fraction)) == final
        assert at(1.0) == final

    @pytest.mark.parametrize(
        ("decay", "quarter", "half"),
        [("linear", 76.0, 52.0), ("cosine", 85.941125, 52.0), ("exponential", 44.721360, 20.0)],
    )
    def test_way_by_hand(self, decay, quarter, half):
        """From 100 to 4; half way the exponential is their geometric mean."""
        at = [objectives.schedule(decay, 100.0, 4.0, p) for p in (0.25, 0.5)]
        np.testing.assert_allclose(at, [quarter, half], rtol=1e-5)

    @pytest.mark.parametrize("decay", ["linear", "cosine", "exponential"])
    def test_never_goes_back(self, decay):
        values = objectives.schedule(decay, 1.0, 0.1, jnp.linspace(0, 1, 101), 0.7)
        assert (jnp.diff(values) <= 1e-7).all()

    def test_is_held_before_it_begins(self):
        """From 1 to 0 between a fifth and three fifths of the run."""
        at = objectives.schedule("linear", 1.0, 0.0, jnp.array([0.0, 0.2, 0.4, 0.6, 1]), 0.6, 0.2)
        np.testing.assert_allclose(at, [1, 1, 0.5, 0, 0], atol=1e-6)

    def test_without_an_end_it_stays(self):
        assert objectives.schedule("linear", 0.3, None, 0.9) == jnp.float32(0.3)

    def test_goes_through_vmap(self):
        """A sweep over learning rates is a vmap over the initial value."""
        initial = jnp.array([1.0, 2.0])
        values = jax.vmap(lambda x: objectives.schedule("linear", x, 0.0, 0.5))(initial)
        np.testing.assert_allclose(values, [0.5, 1.0])

    def test_unknown_decay_names_the_nearest(self):
        with pytest.raises(UnknownNameError, match="'linear'"):
            objectives.schedule("linaer", 1.0, 0.0, 0.5)  # pyright: ignore[reportArgumentType]


def test_shapes_must_agree():
    with pytest.raises(AssertionError):
        objectives.clipped_surrogate(jnp.ones(3), jnp.ones((3, 1)), EPS)
    with pytest.raises(AssertionError):
        objectives.squared_value_loss(jnp.ones(3), jnp.ones((3, 1)))
