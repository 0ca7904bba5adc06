"""GRPO's mathematics: against enumeration, against TRL, and by hand."""

import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import group
from jaxrl.errors import UnknownNameError

GOLDEN = np.load(Path(__file__).parent / "golden" / "grpo.npz")
ABOUT = json.loads(str(GOLDEN["about"]))
LOGITS = np.array([0.3, -0.5, 0.9])
ARMS = np.array([1.0, -0.4, 0.35])
"""A bandit: the policy's logits and what the arms pay."""


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def loss(log_prob, data, case, advantage=None):
    """The whole loss, from the functions that the algorithm puts together."""
    advantage = jnp.asarray(data["advantage"])[:, None] if advantage is None else advantage
    mask = jnp.asarray(data["mask"])
    log_ratio = group.importance_log_ratio(log_prob, data["old_log_prob"], mask, case["level"])
    objective = group.surrogate(
        log_ratio,
        advantage,
        epsilon=ABOUT["epsilon"],
        epsilon_high=case["epsilon_high"],
        delta=case["delta"],
    )
    kl = group.sampled_kl(case["kl"], log_prob, data["ref_log_prob"], log_ratio)
    per_token = -objective + case["beta"] * kl
    return group.aggregate(per_token, mask, case["loss_type"], max_length=mask.shape[1])


def test_loss_and_gradient_are_trls(x64):
    """Every loss type, level, upper clip, bound and penalty; values and gradients, float64."""
    log_prob = jnp.asarray(GOLDEN["log_prob"])
    assert len(ABOUT["cases"]) == len(GOLDEN["loss"]) == 120
    for case, value, grad in zip(ABOUT["cases"], GOLDEN["loss"], GOLDEN["grad"], strict=True):
        ours, our_grad = jax.value_and_grad(loss)(log_prob, GOLDEN, case)
        np.testing.assert_allclose(ours, value, rtol=0, atol=1e-9, err_msg=str(case))
        np.testing.assert_allclose(our_grad, grad, rtol=0, atol=1e-9, err_msg=str(case))


def test_the_cases_are_not_all_alike():
    """Or agreeing with them would say little: the clips cut, and every switch changes the loss."""
    values = {json.dumps(c): v for c, v in zip(ABOUT["cases"], GOLDEN["loss"], strict=True)}
    for switch, value in (("level", "sequence"), ("epsilon_high", 0.28), ("delta", 1.5)):
        changed = [
            abs(values[json.dumps(c)] - values[json.dumps(c | {switch: value})]) > 1e-4
            for c in ABOUT["cases"]
            if c[switch] != value
        ]
        assert any(changed), switch
    assert {"trl", "torch"} <= set(ABOUT["versions"])


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_advantages_are_trls(x64, scale):
    ours = group.group_advantages(jnp.asarray(GOLDEN["rewards"]), scale_rewards=scale)
    # TRL's deviation has its K / (K - 1) in float32.
    precision = 1e-9 if scale == "none" else 1e-7
    np.testing.assert_allclose(ours, GOLDEN[f"advantages_{scale}"], rtol=precision, atol=0)


@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "bnpo", "dr_grpo", "sum"])
def test_aggregate_by_hand(loss_type):
    """Lengths 1 and 3: tokens 6 and 1, 2, 3, with rubbish beyond the end of the first."""
    values = jnp.array([[6.0, jnp.nan, jnp.inf], [1.0, 2.0, 3.0]])
    mask = jnp.array([[True, False, False], [True, True, True]])
    by_hand = {"grpo": (6 + 2) / 2, "dapo": 12 / 4, "bnpo": 12 / 4, "dr_grpo": 12 / 6, "sum": 6.0}
    ours = group.aggregate(values, mask, loss_type, max_length=3)
    assert float(ours) == pytest.approx(by_hand[loss_type])
    assert float(group.aggregate(values, jnp.zeros_like(mask), loss_type, max_length=3)) == 0


def test_advantages_by_hand():
    """Rewards 1, 2, 6: mean 3, sample deviation √7, the others' means 4, 3.5 and 1.5."""
    rewards = jnp.array([[1.0, 2.0, 6.0]])
    settings = dict(scale_rewards="none")
    np.testing.assert_allclose(group.group_advantages(rewards, **settings), [[-2, -1, 3]])
    np.testing.assert_allclose(
        group.group_advantages(rewards, baseline="leave_one_out", **settings),
        [[-3, -1.5, 4.5]],
        rtol=1e-6,
    )
    scaled = np.array([[-2, -1, 3]]) / (np.sqrt(7) + 1e-4)
    np.testing.assert_allclose(group.group_advantages(rewards), scaled, rtol=1e-6)


EVERY_WAY = list(itertools.product(["group_mean", "leave_one_out"], ["group", "batch", "none"]))


@pytest.mark.parametrize(("baseline", "scale"), EVERY_WAY)
@pytest.mark.parametrize("reward", [0.1, 1 / 3, -7.7, 1e6 / 7])
def test_equal_rewards_give_exactly_zero(baseline, scale, reward):
    """In float32, whose mean of seven times 0.1 is not 0.1."""
    rewards = jnp.full((2, 7), reward, jnp.float32).at[1, 3].add(0.5)
    advantage = group.group_advantages(rewards, baseline=baseline, scale_rewards=scale)
    np.testing.assert_array_equal(advantage[0], 0.0)
    assert (np.asarray(advantage[1]) != 0).all()
    np.testing.assert_array_equal(group.all_equal(rewards), [True, False])


@pytest.mark.parametrize(("baseline", "scale"), EVERY_WAY)
def test_order_does_not_matter_and_shifts_cancel(x64, baseline, scale):
    rewards = jax.random.normal(jax.random.key(0), (3, 5))

    def advantages(rewards, eps=0.0):
        return group.group_advantages(rewards, baseline=baseline, scale_rewards=scale, eps=eps)

    order = jnp.array([3, 1, 4, 0, 2])
    close = dict(rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        advantages(rewards[:, order]), advantages(rewards)[:, order], **close
    )
    np.testing.assert_allclose(advantages(rewards[::-1]), advantages(rewards)[::-1], **close)
    np.testing.assert_allclose(advantages(rewards).sum(1), 0, **close)
    # Affine: what is scaled by a deviation does not see the unit, what is not keeps it.
    unit = 3.0 if scale == "none" else 1.0
    moved = advantages(3.0 * rewards + 11.0)
    np.testing.assert_allclose(moved, unit * advantages(rewards), **close)


def bandit_gradient(size, **settings):
    """GRPO's expected gradient over all groups of `size` draws, and the exact ∇J."""
    groups = np.array(list(itertools.product(range(3), repeat=size)))
    logits = jnp.asarray(LOGITS)
    odds = jax.nn.softmax(logits)[groups].prod(1)

    def objective(logits, drawn):
        log_prob = jax.nn.log_softmax(logits)[drawn][:, None]
        advantage = group.group_advantages(jnp.asarray(ARMS)[drawn][None], **settings)
        mask = jnp.ones((size, 1), bool)
        log_ratio = group.importance_log_ratio(log_prob, jax.lax.stop_gradient(log_prob), mask)
        value = group.surrogate(log_ratio, advantage.reshape(-1, 1), epsilon=0.2)
        return group.aggregate(value, mask, "grpo")

    each = jax.vmap(jax.grad(objective), (None, 0))(logits, jnp.asarray(groups))
    exact = jax.grad(lambda x: jax.nn.softmax(x) @ ARMS)(logits)
    return odds @ each, exact


@pytest.mark.parametrize("size", [2, 3, 5])
def test_the_groups_mean_shrinks_the_gradient_and_the_others_mean_does_not(x64, size):
    """Kool et al. 2019; the factor is (K-1)/K exactly."""
    with_mean, exact = bandit_gradient(size, scale_rewards="none")
    np.testing.assert_allclose(with_mean, (size - 1) / size * exact, rtol=0, atol=1e-12)
    without, _ = bandit_gradient(size, scale_rewards="none", baseline="leave_one_out")
    np.testing.assert_allclose(without, exact, rtol=0, atol=1e-12)


def test_a_z_score_climbs_something_else(x64):
    scaled, exact = bandit_gradient(2, scale_rewards="group")
    ratio = scaled / exact
    assert float(ratio.max() / ratio.min()) > 1.2


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_the_notes_form_is_the_published_one(x64, beta):
    """Advantages over L_i and summed, against a mean over tokens: loss and gradient."""
    case = dict(level="token", epsilon_high=0.2, delta=None, kl="k3", beta=0.0)
    log_prob, mask = jnp.asarray(GOLDEN["log_prob"]), jnp.asarray(GOLDEN["mask"])
    advantage = group.length_normalized(jnp.asarray(GOLDEN["advantage"]), mask)

    def notes(log_prob):
        kl = group.sampled_kl("k3", log_prob, GOLDEN["ref_log_prob"], log_prob)
        penalty = beta * group.aggregate(kl, mask, "grpo")
        return loss(log_prob, GOLDEN, case | {"loss_type": "sum"}, advantage) + penalty

    published = case | {"loss_type": "grpo", "beta": beta}
    ours = jax.value_and_grad(notes)(log_prob)
    theirs = jax.value_and_grad(loss)(log_prob, GOLDEN, published)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    # Dividing twice, as in a mean of A/L over each row's tokens, is something else.
    twice = jax.grad(lambda x: loss(x, GOLDEN, case | {"loss_type": "grpo"}, advantage))(log_prob)
    if beta == 0:
        assert float(jnp.abs(twice - theirs[1]).max()) > 1e-2


def six_ways(seed):
    return jax.nn.log_softmax(jax.random.normal(jax.random.key(seed), (6,)))


@pytest.mark.parametrize("off_policy", [False, True])
@pytest.mark.parametrize("estimator", ["k1", "k2", "k3", "k3_is", "exact"])
def test_what_the_gradient_of_each_kl_estimator_is(x64, estimator, off_policy):
    """Summed over all actions of a 6-way policy, drawn from itself or from an older one."""
    logits, reference = six_ways(0), six_ways(1)
    old = six_ways(2) if off_policy else logits

    def kl(p, q):
        return (jnp.exp(p) * (p - q)).sum()

    def expected(logits):
        log_prob = jax.nn.log_softmax(logits)
        if estimator == "exact":
            return kl(log_prob, reference)
        each = group.sampled_kl(estimator, log_prob, reference, log_prob - old)
        return (jnp.exp(old) * each).sum()

    def right(logits):
        return kl(jax.nn.log_softmax(logits), reference)

    def reverse(logits):
        return kl(reference, jax.nn.log_softmax(logits))

    ours, wanted, other = (jax.grad(f)(logits) for f in (expected, right, reverse))
    assert float(jnp.abs(wanted - other).max()) > 0.05
    means = {"k1": 0 * wanted, "k2": wanted, "k3": other, "k3_is": wanted, "exact": wanted}
    if not off_policy:
        np.testing.assert_allclose(ours, means[estimator], rtol=0, atol=1e-12)
    elif estimator in ("k3_is", "exact"):
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-12)
    else:  # sampled by another policy, and not corrected
        assert float(jnp.abs(ours - means[estimator]).max()) > 1e-2


def test_sequence_ratio_is_the_mean_of_its_tokens():
    log_prob = jnp.array([[0.3, 0.1, 9.0], [0.2, 0.2, 0.2]])
    mask = jnp.array([[True, True, False], [False, False, False]])
    ratio = group.importance_log_ratio(log_prob, jnp.zeros_like(log_prob), mask, "sequence")
    np.testing.assert_allclose(ratio, [[0.2], [0.0]], rtol=1e-6)


def test_clipped_share_by_hand():
    """Of four tokens two have lost their gradient: too likely a good one, too rare a bad one."""
    log_ratio = jnp.log(jnp.array([[1.5, 1.1], [0.5, 1.5]]))
    advantage, mask = jnp.array([[1.0], [-1.0]]), jnp.ones((2, 2), bool)
    assert float(group.clipped_share(log_ratio, advantage, mask, epsilon=0.2)) == 0.5
    assert (
        float(group.clipped_share(log_ratio, advantage, mask, epsilon=0.2, epsilon_high=0.6))
        == 0.25
    )


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'group_mean'"):
        group.group_advantages(jnp.zeros((1, 2)), baseline="group_men")
    with pytest.raises(UnknownNameError, match="dr_grpo"):
        group.aggregate(jnp.zeros((1, 1)), jnp.ones((1, 1), bool), "drgrpo")
    with pytest.raises(UnknownNameError, match="k3_is"):
        group.sampled_kl("k3is", jnp.zeros((1, 1)), jnp.zeros((1, 1)), jnp.zeros((1, 1)))
