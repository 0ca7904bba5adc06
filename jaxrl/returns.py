"""Returns and advantages: what the steps of a trajectory were worth.

Every function is pure and time-major: arrays are `[T, ...]` with any trailing axes, and row `t`
is the step from `obs_t` to `next_obs_t`. Two flags say how an episode ended, and they do different
things:

- `terminated`: nothing comes after, so `next_value` does not count.
- `terminated | truncated`: the next row is another episode, so nothing flows back from it.

`next_value` is V(`next_obs`) with `next_obs` from *before* any auto-reset. It is an argument of
its own, not `value` shifted by one, because where a time limit cut an episode the two differ.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxrl.errors import check_range
from jaxrl.types import Array

# Unrolling the reversed scans spares loop overhead; 8 was as good as 16 on a CPU.
_UNROLL = 8


def reward_to_go(reward: Array, terminated: Array, truncated: Array, gamma: Array | float) -> Array:
    """Discounted rewards from each step to the end of its episode, without a bootstrap.

    `G_t = r_t + γ (1 - end_t) G_{t+1}`, Sutton & Barto (2018) eq. 3.9. The last row of the
    trajectory is an end, whatever its flags say.

    Args:
        reward: `[T, ...]`.
        terminated, truncated: bool `[T, ...]`.
        gamma: discount factor.

    Returns:
        `G`, `[T, ...]`.
    """
    chex.assert_equal_shape([reward, terminated, truncated])
    discount = gamma * _goes_on(terminated, truncated, reward.dtype)
    return _backwards(reward, discount)


def td_errors(
    reward: Array, value: Array, next_value: Array, terminated: Array, gamma: Array | float
) -> Array:
    """`δ_t = r_t + γ (1 - terminated_t) V(next_obs_t) - V(obs_t)`, all `[T, ...]`.

    Sutton & Barto (2018) eq. 6.5.
    """
    chex.assert_equal_shape([reward, value, next_value, terminated])
    return reward + gamma * jnp.where(terminated, 0.0, next_value) - value


def gae(
    reward: Array,
    value: Array,
    next_value: Array,
    terminated: Array,
    truncated: Array,
    *,
    gamma: Array | float,
    gae_lambda: Array | float,
) -> Array:
    """Generalised advantage estimation, Schulman et al. 2016, arXiv:1506.02438 (16).

    `A_t = δ_t + γλ (1 - (terminated_t | truncated_t)) A_{t+1}`: λ = 0 is the TD error, λ = 1 the
    discounted return less the value. Advantages are not whitened here.

    Args:
        reward: `[T, ...]`.
        value: V(obs), `[T, ...]`.
        next_value: V(next_obs), `[T, ...]`; see the module's docstring.
        terminated, truncated: bool `[T, ...]`.
        gamma: discount factor.
        gae_lambda: λ.

    Returns:
        Advantages, `[T, ...]`.
    """
    chex.assert_equal_shape([reward, value, next_value, terminated, truncated])
    delta = td_errors(reward, value, next_value, terminated, gamma)
    return _backwards(delta, gamma * gae_lambda * _goes_on(terminated, truncated, delta.dtype))


def lambda_returns(
    reward: Array,
    next_value: Array,
    terminated: Array,
    truncated: Array,
    *,
    gamma: Array | float,
    lambda_: Array | float,
) -> Array:
    """λ-returns, Sutton & Barto (2018) §12.1, in their recursive form.

    `G_t = r_t + γ (1 - terminated_t) [(1 - λ_t) V(next_obs_t) + λ_t G_{t+1}]`, where `λ_t` is λ
    within an episode and 0 at a truncation and at the last row: there the bootstrap is all there
    is. `gae(...) + value` is the same.

    Args:
        reward, next_value: `[T, ...]`.
        terminated, truncated: bool `[T, ...]`.
        gamma: discount factor.
        lambda_: λ.

    Returns:
        `G`, `[T, ...]`.
    """
    chex.assert_equal_shape([reward, next_value, terminated, truncated])
    trace = lambda_ * _goes_on(terminated, truncated, reward.dtype)
    trace = trace.at[-1].set(0.0)
    alone = reward + gamma * jnp.where(terminated, 0.0, (1 - trace) * next_value)
    return _backwards(alone, gamma * trace)


class VTrace(NamedTuple):
    """What `vtrace` gives: `target` for the critic and `advantage` for the actor, `[T, ...]`."""

    target: Array
    advantage: Array


def vtrace(
    log_ratio: Array,
    reward: Array,
    value: Array,
    next_value: Array,
    terminated: Array,
    truncated: Array,
    *,
    gamma: Array | float,
    lambda_: Array | float = 1.0,
    rho_bar: Array | float = 1.0,
    c_bar: Array | float = 1.0,
) -> VTrace:
    """V-trace, Espeholt et al. 2018, arXiv:1802.01561 (1): learning from an older policy's steps.

    With `ρ_t = min(ρ̄, r_t)` and `c_t = λ min(c̄, r_t)`, `r = π_θ / π_behaviour`,

        target_t = V_t + ρ_t δ_t + γ c_t (1 - end_t) (target_{t+1} - V_{t+1})
        advantage_t = ρ_t (reward_t + γ (1 - terminated_t) bootstrap_t - V_t)

    where the bootstrap is `(1-λ) V(next_obs_t) + λ target_{t+1}` within an episode, and V(next_obs)
    at a truncation and at the last row. With `r = 1` target and advantage are those of GAE; `ρ̄`
    decides towards which policy's values the targets go, `c̄` how fast.

    Args:
        log_ratio: `log π_θ(a|s) - log π_behaviour(a|s)`, `[T, ...]`.
        reward: `[T, ...]`.
        value: V(obs), `[T, ...]`.
        next_value: V(next_obs), `[T, ...]`; see the module's docstring.
        terminated, truncated: bool `[T, ...]`.
        gamma: discount factor.
        lambda_: λ.
        rho_bar: ρ̄, in the paper also for the advantage.
        c_bar: c̄, at most `rho_bar`.

    Returns:
        Targets and advantages, both without the gradient being stopped.
    """
    chex.assert_equal_shape([log_ratio, reward, value, next_value, terminated, truncated])
    ratio = jnp.exp(log_ratio)
    rho = jnp.minimum(rho_bar, ratio)
    goes_on = _goes_on(terminated, truncated, reward.dtype)
    trace = lambda_ * jnp.minimum(c_bar, ratio) * goes_on
    delta = rho * td_errors(reward, value, next_value, terminated, gamma)
    target = value + _backwards(delta, gamma * trace)

    share = (lambda_ * goes_on).at[-1].set(0.0)  # of the next target, in the bootstrap
    later = jnp.concatenate([target[1:], target[-1:]])  # the last row's is masked
    bootstrap = (1 - share) * next_value + share * later
    return VTrace(target, rho * td_errors(reward, value, bootstrap, terminated, gamma))


def n_step_returns(
    reward: Array,
    next_value: Array,
    terminated: Array,
    truncated: Array,
    *,
    gamma: Array | float,
    n: int,
) -> Array:
    """n-step bootstrapped returns, Sutton & Barto (2018) eq. 7.1.

    `G_t = Σ_{k<m} γ^k r_{t+k} + γ^m (1 - terminated_{t+m-1}) V(next_obs_{t+m-1})`, where `m` is
    `n`, or less where the episode or the trajectory ends before.

    Args:
        reward, next_value: `[T, ...]`.
        terminated, truncated: bool `[T, ...]`.
        gamma: discount factor.
        n: steps before the bootstrap, at least 1 (static).

    Returns:
        `G`, `[T, ...]`.

    Raises:
        ConfigError: `n` below 1.
    """
    chex.assert_equal_shape([reward, next_value, terminated, truncated])
    check_range("n", n, 1)
    bootstrap = reward + gamma * jnp.where(terminated, 0.0, next_value)
    # The last row bootstraps at once: nothing of what follows it is known.
    goes_on = _goes_on(terminated, truncated, reward.dtype).at[-1].set(0.0)
    target = bootstrap
    for _ in range(n - 1):
        later = jnp.concatenate([target[1:], target[-1:]])  # the last row's is masked
        target = jnp.where(goes_on > 0, reward + gamma * later, bootstrap)
    return target


def known_returns(labelled: Array, terminated: Array, truncated: Array) -> Array:
    """Which rows' returns are made of known rewards alone.

    `known_t = labelled_t and (end_t or known_{t+1})`: a missing reward takes with it the rows of
    its episode that come before it, for it is part of their returns and, whatever λ, of their
    advantages. The last row of the trajectory is an end, whatever its flags say.

    Args:
        labelled: bool `[T, ...]`, False where a reward is missing.
        terminated, truncated: bool `[T, ...]`.

    Returns:
        bool `[T, ...]`.
    """
    chex.assert_equal_shape([labelled, terminated, truncated])
    missing = _backwards(
        (~labelled).astype(jnp.float32), _goes_on(terminated, truncated, jnp.float32)
    )
    return missing == 0


def _goes_on(terminated: Array, truncated: Array, dtype: Any) -> Array:
    """1 where the next row belongs to the same episode, else 0; of the type of the rewards."""
    # Of an integer, ~ is the complement: flags that are not bool would give decays of -2.
    chex.assert_type([terminated, truncated], bool)
    return (~(terminated | truncated)).astype(dtype)


def _backwards(x: Array, decay: Array) -> Array:
    """`y_t = x_t + decay_t y_{t+1}` with `y_T = 0`."""

    def step(later: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        x_t, decay_t = row
        y_t = x_t + decay_t * later
        return y_t, y_t

    decay = jnp.broadcast_to(decay, x.shape).astype(x.dtype)
    _, y = jax.lax.scan(step, jnp.zeros_like(x[0]), (x, decay), reverse=True, unroll=_UNROLL)
    return y
