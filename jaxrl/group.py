"""The mathematics of GRPO: advantages from a group of rewards, and the loss on masked sequences.

A group is `K` sequences from one start: completions of a prompt, or episodes from one state. `G`
groups make `N = G·K` rows of up to `L` tokens (or steps), a group's rows one after the other.
Rewards are `[G, K]`; log-probabilities `[N, L]` with a bool mask of the same shape, True on the
tokens that were sampled. Everything is pure, and knows neither networks nor environments.

Names and forms are TRL's (`GRPOTrainer`), which the tests hold them against. The notes' form
(advantages over `L_i`, summed) is `length_normalized` with `loss_type="sum"`.
"""

from __future__ import annotations

from typing import Literal, get_args

import chex
import jax.numpy as jnp

from jaxrl.errors import check_range, unknown_name
from jaxrl.types import Array

Baseline = Literal["group_mean", "leave_one_out"]
"""What a reward is compared with: its group's mean, or the mean of the others."""

ScaleRewards = Literal["group", "batch", "none"]
"""Whose standard deviation advantages are divided by."""

LossType = Literal["grpo", "dapo", "bnpo", "dr_grpo", "sum"]
"""How tokens become one number; see `aggregate`."""

Level = Literal["token", "sequence"]
"""Whether each token has its own ratio, or a sequence one for all (GSPO)."""

KLEstimator = Literal["exact", "k1", "k2", "k3", "k3_is"]
"""How the divergence from the reference is taken; see `sampled_kl`."""


def group_advantages(
    rewards: Array,
    known: Array | None = None,
    *,
    baseline: Baseline = "group_mean",
    scale_rewards: ScaleRewards = "group",
    eps: float = 1e-4,
) -> Array:
    """How much better each of a group did than its group.

    `(r_i - mean r) / (std r + eps)`, DeepSeekMath (Shao et al. 2024, arXiv:2402.03300) §4.1.2; the
    deviation is the sample's (divided by K - 1), as in TRL, verl and OpenRLHF. Unscaled, the mean
    of the group as baseline gives `(K-1)/K` of the policy gradient and the mean of the others all
    of it (RLOO, Kool et al. 2019); scaling changes what is climbed (Liu et al. 2025,
    arXiv:2503.20783).

    A group of equal rewards gets exactly 0. The mean of equal float32 numbers is not always that
    number, and a deviation made of rounding would turn the rest into advantages of any size.

    Args:
        rewards: `[G, K]`, K at least 2.
        known: bool `[G, K]`, False on rewards that are missing: they are compared with nobody and
            nobody with them, and their advantage is 0. None where all are there.
        baseline: what a reward is compared with.
        scale_rewards: `group`, `batch` (all rewards at once) or `none`.
        eps: added to the deviation (TRL's).

    Returns:
        `[G, K]`.

    Raises:
        ConfigError: groups of one, which have nothing to be compared with.
        UnknownNameError: a name that is none of these.
    """
    chex.assert_rank(rewards, 2)
    check_range("the size of a group", rewards.shape[1], 2)
    check_names(baseline=baseline, scale_rewards=scale_rewards)
    size = rewards.shape[1] if known is None else jnp.maximum(known.sum(1, keepdims=True), 2)
    advantage = rewards - rewards.mean(1, keepdims=True, where=known)
    if baseline == "leave_one_out":
        advantage *= size / (size - 1)  # r_i less the mean of the others
    if scale_rewards == "group":
        advantage /= deviations(rewards, known)[:, None] + eps
    if scale_rewards == "batch":
        advantage /= (rewards.std(ddof=1) if known is None else _of_all(rewards, known)) + eps
    says_nothing = all_equal(rewards, known)[:, None]
    if known is not None:
        says_nothing |= ~known
    return jnp.where(says_nothing, 0.0, advantage)


def all_equal(rewards: Array, known: Array | None = None) -> Array:
    """Whether a group's known rewards are all the same, and so say nothing; bool `[G]`."""
    if known is None:
        return rewards.max(1) == rewards.min(1)
    largest = jnp.where(known, rewards, -jnp.inf).max(1)
    return largest <= jnp.where(known, rewards, jnp.inf).min(1)  # "<": of none there is none


def deviations(rewards: Array, known: Array | None = None) -> Array:
    """The sample deviation of each group's known rewards, `[G]`; 0 of fewer than two."""
    if known is None:
        return rewards.std(1, ddof=1)
    mean = rewards.mean(1, keepdims=True, where=known)
    squares = jnp.where(known, jnp.square(rewards - mean), 0.0).sum(1)
    return jnp.sqrt(squares / jnp.maximum(known.sum(1) - 1, 1))


def _of_all(rewards: Array, known: Array) -> Array:
    """`deviations` of all groups' known rewards as of one. Scalar."""
    return deviations(rewards.reshape(1, -1), known.reshape(1, -1))[0]


def length_normalized(advantage: Array, mask: Array) -> Array:
    """The notes' advantage of each token, `A_i / L_i`; `[N]` and `[N, L]` give `[N, 1]`.

    Summed over a sequence's tokens it is `A_i` whatever the length.
    """
    chex.assert_equal_shape_prefix([advantage, mask], 1)
    return (advantage / jnp.maximum(mask.sum(1), 1))[:, None]


def importance_log_ratio(
    log_prob: Array, old_log_prob: Array, mask: Array, level: Level = "token"
) -> Array:
    """`log π_θ - log π_old` of each token `[N, L]`, or its mean over a sequence `[N, 1]`.

    0 outside the mask, with a gradient of 0.
    The second is GSPO's length-normalised ratio (Zheng et al. 2025, arXiv:2507.18071 (7)).
    """
    chex.assert_equal_shape([log_prob, old_log_prob, mask])
    check_names(importance_sampling_level=level)
    # Masked before it is exponentiated: the gradient of an infinite value is NaN, masked or not.
    log_ratio = jnp.where(mask, log_prob - old_log_prob, 0.0)
    if level == "token":
        return log_ratio
    return (log_ratio.sum(1) / jnp.maximum(mask.sum(1), 1))[:, None]


def surrogate(
    log_ratio: Array,
    advantage: Array,
    *,
    epsilon: Array | float,
    epsilon_high: Array | float | None = None,
    delta: Array | float | None = None,
) -> Array:
    """`min(ρ A, clip(ρ, 1 - ε, 1 + ε_high) A)` with `ρ = exp(log_ratio)`, to be maximised.

    Args:
        log_ratio: `[N, L]` or `[N, 1]`.
        advantage: of the same rank, broadcast against it.
        epsilon: ε.
        epsilon_high: the upper one, where it differs (DAPO's "clip-higher", arXiv:2503.14476).
        delta: the largest ratio that counts where the advantage is negative, above `1 + ε_high`
            (INTELLECT-2, arXiv:2505.07291); None has no bound there.
    """
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1 - epsilon, 1 + (epsilon if epsilon_high is None else epsilon_high))
    if delta is not None:
        ratio = jnp.minimum(ratio, delta)
    return jnp.minimum(ratio * advantage, clipped * advantage)


def clipped_share(
    log_ratio: Array,
    advantage: Array,
    mask: Array,
    *,
    epsilon: Array | float,
    epsilon_high: Array | float | None = None,
) -> Array:
    """Share of the tokens whose gradient the clip has cut off. Scalar."""
    ratio = jnp.exp(log_ratio)
    high = epsilon if epsilon_high is None else epsilon_high
    low_cut = (ratio < 1 - epsilon) & (advantage < 0)
    high_cut = (ratio > 1 + high) & (advantage > 0)
    return aggregate((low_cut | high_cut).astype(jnp.float32), mask, "bnpo")


def sampled_kl(
    estimator: KLEstimator, log_prob: Array, ref_log_prob: Array, log_ratio: Array, mask: Array
) -> Array:
    """Estimates of KL(π_θ‖π_ref) at sampled tokens, to be put into a loss. `[N, L]`.

    0 outside the mask, with a gradient of 0.

    With `x = log π_ref - log π_θ`:

    ==========  ===============  ==================================================================
    `k1`        `-x`             its gradient is 0 on average: a penalty that only adds noise
    `k2`        `½ x²`           the gradient of KL(π_θ‖π_ref), where the tokens are π_θ's own
    `k3`        `e^x - x - 1`    the gradient of the *other* divergence, KL(π_ref‖π_θ)
    `k3_is`     `ρ · k3`         the right one, also where the tokens are π_old's
    ==========  ===============  ==================================================================

    k1 to k3 are http://joschu.net/blog/kl-approx.html's: as *values* k1 and k3 are unbiased and k2
    nearly; as *losses* they are what the table says, and the tests show it by enumeration. `k3_is`
    is DeepSeek-V3.2's and TRL's `use_bias_correction_kl`. `exact` needs the whole distributions and
    so is the caller's: it sums over all actions, and has no variance but that of the states.

    Args:
        estimator: one of the above.
        log_prob: of the policy that learns, `[N, L]`.
        ref_log_prob: of the reference.
        log_ratio: from `importance_log_ratio`; read by `k3_is` alone.
        mask: bool `[N, L]`.

    Raises:
        UnknownNameError: another name, `exact` included.
    """
    chex.assert_equal_shape([log_prob, ref_log_prob, mask])
    x = jnp.where(mask, ref_log_prob - log_prob, 0.0)
    if estimator == "k1":
        return -x
    if estimator == "k2":
        return 0.5 * x**2
    k3 = jnp.exp(x) - x - 1
    if estimator == "k3":
        return k3
    if estimator == "k3_is":
        return jnp.exp(log_ratio) * k3
    raise unknown_name(
        "KL estimator", estimator, [n for n in get_args(KLEstimator) if n != "exact"]
    )


def aggregate(per_token: Array, mask: Array, loss_type: LossType, max_length: int = 1) -> Array:
    """Tokens `[N, L]` (or `[N, 1]`, one value for a whole sequence) as one number. Scalar.

    ===========  ===============================  ================================================
    `grpo`       mean over rows of row means      DeepSeekMath: a token of a short row weighs more
    `bnpo`       sum over the number of tokens    every token weighs the same, whatever its row
    `dapo`       the same, of a batch in a piece  arXiv:2503.14476; differs where batches are split
    `dr_grpo`    sum over rows times max_length   a constant (arXiv:2503.20783): no length bias
    `sum`        mean over rows of row sums       the policy gradient of whole sequences
    ===========  ===============================  ================================================

    Nothing valid gives 0. Rows without a token count as rows.

    Args:
        per_token: any values; those outside the mask are not looked at.
        mask: bool `[N, L]`.
        loss_type: one of the above.
        max_length: the longest that a row can be, for `dr_grpo`.

    Raises:
        UnknownNameError: another name.
    """
    check_names(loss_type=loss_type)
    values = jnp.where(mask, per_token, 0.0)
    rows = mask.shape[0]
    if loss_type == "grpo":
        return (values.sum(1) / jnp.maximum(mask.sum(1), 1)).mean()
    if loss_type in ("bnpo", "dapo"):
        return values.sum() / jnp.maximum(mask.sum(), 1)
    if loss_type == "dr_grpo":
        return values.sum() / (rows * max_length)
    return values.sum() / rows


_NAMES = {
    "baseline": Baseline,
    "scale_rewards": ScaleRewards,
    "loss_type": LossType,
    "importance_sampling_level": Level,
    "kl_estimator": KLEstimator,
}


def check_names(**names: str) -> None:
    """Raises `UnknownNameError` for a setting whose name is not among those of this module."""
    for setting, name in names.items():
        if name not in get_args(_NAMES[setting]):
            raise unknown_name(setting, name, get_args(_NAMES[setting]))
