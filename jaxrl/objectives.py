"""What gradient steps climb and descend: surrogates, value losses, diagnostics, schedules.

Per-sample functions take rows `[N]` and give `[N]`; the algorithm takes the mean, so that it stays
visible there. Objectives are to be maximised, losses to be minimised.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import chex
import jax
import jax.numpy as jnp

from jaxrl.errors import ConfigError, known, unknown_name
from jaxrl.types import Array

Decay = Literal["linear", "cosine", "exponential"]


def policy_gradient(log_prob: Array, advantage: Array) -> Array:
    """`log π(a|s) · A`, whose gradient is the policy gradient (Williams 1992). `[N]`.

    No gradient flows through the advantage.
    """
    chex.assert_equal_shape([log_prob, advantage])
    return log_prob * jax.lax.stop_gradient(advantage)


def clipped_surrogate(log_ratio: Array, advantage: Array, clip_eps: Array | float) -> Array:
    """PPO's objective, `min(r A, clip(r, 1-ε, 1+ε) A)` with `r = exp(log_ratio)`. `[N]`.

    Schulman et al. 2017, arXiv:1707.06347 (7).

    Args:
        log_ratio: `log π_θ(a|s) - log π_old(a|s)`, `[N]`.
        advantage: `[N]`.
        clip_eps: ε.
    """
    chex.assert_equal_shape([log_ratio, advantage])
    ratio = jnp.exp(log_ratio)
    return jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - clip_eps, 1 + clip_eps) * advantage)


def dual_clipped_surrogate(
    log_ratio: Array, advantage: Array, clip_eps: Array | float, dual_clip: Array | float
) -> Array:
    """PPO's objective, bounded below by `c A` where the advantage is negative. `[N]`.

    Ye et al. 2020, arXiv:1912.09729 (5). PPO's own has no bound there: a bad action that the new
    policy takes far more often than the old one did weighs its full ratio.

    Args:
        log_ratio: `log π_θ(a|s) - log π_old(a|s)`, `[N]`.
        advantage: `[N]`.
        clip_eps: ε.
        dual_clip: c, above 1.
    """
    clipped = clipped_surrogate(log_ratio, advantage, clip_eps)
    return jnp.where(advantage < 0, jnp.maximum(clipped, dual_clip * advantage), clipped)


def kl_penalized_surrogate(log_ratio: Array, advantage: Array, kl_coef: Array | float) -> Array:
    """`r A - kl_coef · [(r - 1) - log r]`. `[N]`.

    PPO's other form, Schulman et al. 2017, arXiv:1707.06347 (8): the bracket's mean over samples
    of π_old is KL(π_old‖π_θ), and the mean of its gradient is that divergence's gradient.

    Args:
        log_ratio: `log π_θ(a|s) - log π_old(a|s)`, `[N]`.
        advantage: `[N]`.
        kl_coef: the paper's β.
    """
    chex.assert_equal_shape([log_ratio, advantage])
    ratio = jnp.exp(log_ratio)
    return ratio * advantage - kl_coef * ((ratio - 1) - log_ratio)


def approx_kl(log_ratio: Array, weight: Array | None = None) -> Array:
    """Estimate of KL(π_old‖π_θ) from samples of π_old: the mean of `(r - 1) - log r`. Scalar.

    `log_ratio` is `[N]`, or any shape, and `weight` as in `mean`.

    Unbiased, and never negative but for rounding (the "k3" of
    http://joschu.net/blog/kl-approx.html).
    """
    return mean((jnp.exp(log_ratio) - 1) - log_ratio, weight)


def clip_fraction(log_ratio: Array, clip_eps: Array | float, weight: Array | None = None) -> Array:
    """Share of rows `[N]` whose ratio lies outside `[1-ε, 1+ε]`, scalar; `weight` as in `mean`."""
    outside = jnp.abs(jnp.exp(log_ratio) - 1) > clip_eps
    return mean(outside.astype(jnp.float32), weight)


def squared_value_loss(
    value: Array,
    target: Array,
    stop_target_gradients: bool = True,
    weight: Array | None = None,
) -> Array:
    """`½ E[(V - target)²]`, scalar. The half is rlax's and CleanRL's; `vf_coef` weighs it.

    Args:
        value, target: `[N]`, or any one shape.
        stop_target_gradients: take the target for a constant (the semi-gradient of TD learning,
            Sutton & Barto 2018 §9.3). Without, a target that bootstraps is moved toward the value
            too (the residual gradient, Baird 1995).
        weight: of each row, as in `mean`.
    """
    chex.assert_equal_shape([value, target])
    if stop_target_gradients:
        target = jax.lax.stop_gradient(target)
    return 0.5 * mean(jnp.square(value - target), weight)


def clipped_value_loss(
    value: Array,
    old_value: Array,
    target: Array,
    clip_eps: Array | float,
    weight: Array | None = None,
) -> Array:
    """PPO's value loss: the worse of V and of V kept within `clip_eps` of its old self. Scalar.

    `½ E[max((V - target)², (V_old + clip(V - V_old, ±ε) - target)²)]`; OpenAI baselines' ppo2.
    Depends on the scale of rewards, which is why it is off unless asked for.
    """
    chex.assert_equal_shape([value, old_value, target])
    target = jax.lax.stop_gradient(target)
    near = old_value + jnp.clip(value - old_value, -clip_eps, clip_eps)
    worse = jnp.maximum(jnp.square(value - target), jnp.square(near - target))
    return 0.5 * mean(worse, weight)


def q_target(
    reward: Array, discount: Array, next_q: Array, selector_q: Array | None = None
) -> Array:
    """`r + discount · Q(s', a*)` with `a* = argmax_a` of the selector's values. `[...]`.

    Q-learning's target (Mnih et al. 2015); with the learning network for a selector and the target
    network for `next_q`, that of double Q-learning (van Hasselt et al. 2016, arXiv:1509.06461 (4)).

    Args:
        reward: `[...]`.
        discount: γ to the number of steps, 0 where the episode terminated, `[...]`.
        next_q: `[..., A]`.
        selector_q: `[..., A]`; default `next_q` itself.
    """
    chex.assert_equal_shape([reward, discount, next_q[..., 0]])
    if selector_q is None:
        return reward + discount * next_q.max(-1)
    chex.assert_equal_shape([next_q, selector_q])
    return reward + discount * chosen(next_q, selector_q.argmax(-1))


def chosen(q: Array, action: Array) -> Array:
    """`Q(s, a)` of values `[..., A]` and actions int `[...]`."""
    # A masked sum, not a gather: it fuses with what surrounds it.
    return jnp.where(action[..., None] == jnp.arange(q.shape[-1]), q, 0.0).sum(-1)


def huber(error: Array, delta: float = 1.0) -> Array:
    """`½ e²` within ±`delta`, and beyond it a line of slope `delta` (Huber 1964). `[...]`."""
    small = jnp.clip(error, -delta, delta)
    return small * (error - 0.5 * small)


def mean(x: Array, weight: Array | None) -> Array:
    """The mean of `x [...]`: over all rows where `weight` is None, else `weighted_mean`. Scalar."""
    return x.mean() if weight is None else weighted_mean(x, weight)


def weighted_mean(x: Array, weight: Array) -> Array:
    """The mean of `x [...]` where rows count by their weight `[...]`; 0 where none does. Scalar."""
    chex.assert_equal_shape([x, weight])
    # `where`, not a product alone: what a row of weight 0 holds may not be finite.
    total = jnp.where(weight > 0, weight * x, 0.0).sum()
    return total / jnp.maximum(weight.sum(), 1.0)


def epsilon_greedy(q: Array, uniform: Array, epsilon: Array | float) -> Array:
    """The best action, or with probability ε any, all alike. int32 `[...]`.

    Args:
        q: `[..., A]`.
        uniform: a number in [0, 1) for each, `[...]`. The one draw serves twice: below ε an action
            is drawn, and there `uniform / ε` is again uniform in [0, 1).
        epsilon: ε.
    """
    num_actions = q.shape[-1]
    drawn = (uniform / jnp.maximum(epsilon, 1e-6) * num_actions).astype(jnp.int32)
    random = jnp.clip(drawn, 0, num_actions - 1)
    return jnp.where(uniform < epsilon, random, q.argmax(-1).astype(jnp.int32))


def normalize_advantage(advantage: Array, weight: Array | None = None, eps: float = 1e-8) -> Array:
    """Advantages of mean 0 and deviation 1. Equal ones become exactly 0, a single one too. `[N]`.

    With a `weight` of 0 or 1 a row, those of weight 0 are left out, and become 0.

    The spread is tested, not only padded with `eps`: the mean of equal float32 numbers is not
    always that number, and the difference over `eps` would be an advantage made of rounding. It is
    tested against 0 and not for being positive, so that a NaN stays one and is found.
    """
    if weight is not None:
        return _normalize_those(advantage, weight > 0, eps)
    spread = advantage.max() - advantage.min()
    centred = advantage - advantage.mean()
    return jnp.where(spread == 0, 0.0, centred / (advantage.std() + eps))


def _normalize_those(advantage: Array, counts: Array, eps: float) -> Array:
    """`normalize_advantage` of the rows that count, bool `[N]`; 0 in the others."""
    largest = jnp.where(counts, advantage, -jnp.inf).max()
    smallest = jnp.where(counts, advantage, jnp.inf).min()
    share = counts.astype(advantage.dtype)
    centred = jnp.where(counts, advantage - weighted_mean(advantage, share), 0.0)
    deviation = jnp.sqrt(weighted_mean(jnp.square(centred), share))
    return jnp.where(largest == smallest, 0.0, centred / (deviation + eps))


def explained_variance(value: Array, target: Array, weight: Array | None = None) -> Array:
    """`1 - Var[target - V] / Var[target]`: 1 is a perfect critic, 0 one that knows the mean.

    NaN where all targets are equal, for then there is nothing to explain. Scalar.
    """

    def variance_of(x: Array) -> Array:
        return (
            x.var()
            if weight is None
            else weighted_mean((x - weighted_mean(x, weight)) ** 2, weight)
        )

    variance = variance_of(target)
    return jnp.where(variance > 0, 1 - variance_of(target - value) / variance, jnp.nan)


def schedule(
    decay: Decay,
    initial: Array | float,
    final: Array | float | None,
    progress: Array | float,
    fraction: Array | float = 1.0,
    hold: Array | float = 0.0,
) -> Array:
    """A coefficient on its way from `initial` to `final`.

    Args:
        decay: `linear`, `cosine` (half a wave) or `exponential` (a constant factor a step; both
            ends must be positive).
        initial: value at progress 0.
        final: value at `fraction` of the run and after, exactly; None keeps `initial`.
        progress: share of the run that is done, in [0, 1].
        fraction: share of the run at which the way ends.
        hold: share of the run before which it does not begin; below `fraction`.

    Raises:
        UnknownNameError: a decay that does not exist.
    """
    if decay not in get_args(Decay):
        raise unknown_name("decay", decay, get_args(Decay))
    if final is None:
        return jnp.asarray(initial, jnp.float32)
    share = jnp.clip((progress - hold) / (fraction - hold), 0.0, 1.0)
    if decay == "cosine":
        share = 0.5 * (1 - jnp.cos(jnp.pi * share))
    if decay == "exponential":
        value = initial * (final / initial) ** share
    else:
        value = initial + (final - initial) * share
    return jnp.where(progress >= fraction, final, value)


def check_schedule(name: str, decay: Decay, initial: Any, final: Any) -> None:
    """Raises `ConfigError` for an exponential way to or from 0, which there is none."""
    if decay != "exponential" or final is None:
        return
    for value in (initial, final):
        if known(value) and not value > 0:
            raise ConfigError(
                f"{name} cannot go exponentially from {initial} to {final}: both must be above 0; "
                f"use {name}_decay='linear' or 'cosine', or a small {name}_final such as 1e-4."
            )
