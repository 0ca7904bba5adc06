"""Entropy regularisation: of what, and how much of it.

`L(θ) + ent_coef · E[H(π_θ(·|s))]` keeps a policy from settling before it has looked around. Every
policy-gradient algorithm takes the same settings, and this is what they mean:

- `ent_coef` alone is a number. With `ent_coef_final` it is a schedule: held until
  `ent_coef_hold_fraction` of the run, then on its way (`ent_coef_decay`: linear, cosine or
  exponential), and at its end from `ent_coef_decay_fraction` on.
- With `entropy_target` nobody has to guess it: after each update the coefficient goes up by
  `ent_coef_delta` if the policy's entropy was below the target, and down if it was above, never
  below 0 (He et al. 2025, Skywork-OR1, arXiv:2505.22312 §4, without its gate).
- Entropies are exact where they have a closed form. A squashed Gaussian's has none:
  `entropy_estimator` says whether its unsquashed Gaussian's is used, or a sample of its own.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from jaxrl import spaces
from jaxrl.distributions import Distribution
from jaxrl.errors import ConfigError, unknown_name
from jaxrl.networks import ActorCritic
from jaxrl.objectives import check_schedule, schedule
from jaxrl.types import Array, Key

Estimator = Literal["base", "sample"]
"""The entropy of a squashed Gaussian: that before squashing, or `-log π` of a fresh action."""


def coefficient(state: Any) -> Array:
    """`ent_coef` at this update, from the state's config, progress and `ent_coef_shift`. Scalar."""
    config = state.config
    scheduled = schedule(
        config.ent_coef_decay,
        config.ent_coef,
        config.ent_coef_final,
        state.progress,
        config.ent_coef_decay_fraction,
        config.ent_coef_hold_fraction,
    )
    return jnp.maximum(scheduled + state.ent_coef_shift, 0.0)


def control(state: Any, entropy: Array) -> Array:
    """The next `ent_coef_shift`, after an update in which the policy's mean entropy was this.

    What is carried is the distance from `ent_coef`, not the coefficient: lanes of a sweep get
    their configs after `init`, and start from their own.
    """
    config = state.config
    if config.entropy_target is None:
        return state.ent_coef_shift
    step = config.ent_coef_delta * jnp.sign(config.entropy_target - entropy)
    return jnp.maximum(state.ent_coef_shift + step, -config.ent_coef)


def noise(network: ActorCritic, config: Any, key: Key, leading: tuple[int, ...]) -> Array | None:
    """What `of` needs to sample an entropy `[*leading, D]`; None where it does not sample."""
    if not (config.squash and config.entropy_estimator == "sample"):
        return None
    return network.noise(key, leading)


def of(policy: Distribution, noise: Array | None) -> Array:
    """Entropy of each policy of a batch, `[...]`, in nats.

    With noise it is `-log π(a|s)` of the action that the noise makes of this policy: unbiased,
    and so is its gradient, which goes through the action.
    """
    if noise is None:
        return policy.entropy()
    return -policy.log_prob(policy.sample_from(noise))


def check(config: Any, action_space: Any) -> None:
    """Refuses entropy settings that cannot be.

    Raises:
        UnknownNameError: an estimator that does not exist.
        ConfigError: a schedule without a way to go, a schedule and a target at once, or a target
            that no policy over this action space has.
    """
    if config.entropy_estimator not in get_args(Estimator):
        raise unknown_name("entropy estimator", config.entropy_estimator, get_args(Estimator))
    check_schedule("ent_coef", config.ent_coef_decay, config.ent_coef, config.ent_coef_final)
    hold, end = config.ent_coef_hold_fraction, config.ent_coef_decay_fraction
    if not isinstance(hold, jax.core.Tracer) and not hold < end:
        raise ConfigError(
            f"ent_coef_hold_fraction={hold} leaves nothing of ent_coef_decay_fraction={end}: the "
            "first says when the decay begins and must be below the second, when it ends."
        )
    if config.entropy_target is None:
        return
    if config.ent_coef_final is not None:
        raise ConfigError(
            f"entropy_target={config.entropy_target} moves ent_coef by itself, and ent_coef_final="
            f"{config.ent_coef_final} is a schedule for it: drop one of them."
        )
    _check_target(config, action_space)


def _check_target(config: Any, action_space: Any) -> None:
    """Refuses an entropy above that of the uniform policy, or below that of a certain action."""
    low, high, of_what = -math.inf, math.inf, "a Gaussian"
    if spaces.is_discrete(action_space):
        count = spaces.num_actions(action_space)
        low, high, of_what = 0.0, math.log(count), f"a policy over {count} actions"
    elif config.squash and config.entropy_estimator == "sample":
        bottom, top = spaces.bounds(action_space)
        high, of_what = float(jnp.log(top - bottom).sum()), "a policy over this box"
    target = config.entropy_target
    if not isinstance(target, jax.core.Tracer) and not low < target < high:
        raise ConfigError(
            f"entropy_target={target} cannot be: the entropy of {of_what} lies between "
            f"{low:.3g} and {high:.3g} nats, give a number between them."
        )
