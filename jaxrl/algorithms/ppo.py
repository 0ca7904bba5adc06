"""Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347).

The pain it cures: a policy-gradient step is only right near the policy that collected the data,
and TRPO's cure, a trust region, costs second derivatives. PPO keeps the data for several epochs
and clips the objective wherever the new policy has left the old one by more than `clip_eps`:

    L(θ) = E[ min(r A, clip(r, 1-ε, 1+ε) A) ],    r = π_θ(a|s) / π_old(a|s)

Read on from top to bottom: config, surrogates, builder, loss, learn. Collecting, acting and
advantages are those of every on-policy actor-critic (`jaxrl.on_policy`, `jaxrl.advantages`).
`PPOConfig.notes()` is the objective alone; the defaults add what practice has found to matter
(Andrychowicz et al. 2021, Engstrom et al. 2020), each behind its own flag.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import entropy, objectives, on_policy
from jaxrl.advantages import Batch, count_rewards, make_batch
from jaxrl.config import number, static
from jaxrl.errors import check_range, known, unknown_name
from jaxrl.minibatch import (
    check_minibatches,
    mean_gradient,
    minibatch_rows,
    take,
    unless_empty,
)
from jaxrl.networks import ActorCritic
from jaxrl.on_policy import (
    OnPolicyState,
    assemble,
    check_spread,
    collect,
    finish,
    network_and_envs,
)
from jaxrl.optim import adam, descend
from jaxrl.types import Algorithm, Array, EnvParams, Key, Mean, Metrics, PyTree, Trajectory
from jaxrl.vector import ResetPolicy, VectorEnv

Surrogate = Callable[[Array, Array, "PPOConfig"], Array]
"""`(log_ratio [N], advantage [N], config) -> objective [N]`, to be maximised."""


@struct.dataclass
class PPOConfig:
    """Settings of PPO. Sizes are static; floats are traced, so a sweep over them is a `vmap`.

    Defaults are those of CleanRL's `ppo.py` unless said otherwise.
    """

    num_envs: int = static(4, low=1)
    """Environments side by side."""
    num_steps: int = static(128, low=1)
    """Steps of each environment per update."""
    update_epochs: int = static(4, low=1)
    """Passes over the data of one update."""
    num_minibatches: int = static(4, low=1)
    """Gradient steps per pass; must divide num_envs * num_steps."""
    learning_rate: float = number(2.5e-4, low=0, open_low=True)
    """Adam's step size at the first update."""
    learning_rate_final: float | None = number(None, low=0)
    """Step size at the last update, reached linearly; None keeps it constant, 0 anneals."""
    gamma: float = number(0.99, low=0, high=1)
    """Discount factor."""
    gae_lambda: float = number(0.95, low=0, high=1)
    """GAE's λ: 0 is the TD error, 1 the Monte-Carlo advantage."""
    clip_eps: float = number(0.2, low=0, high=1, open_low=True)
    """Half width of the interval in which the ratio counts (the notes' ε)."""
    clip_eps_final: float | None = number(None, low=0, high=1)
    """The same at the last update, reached linearly; None keeps it constant."""
    clip_eps_vf: float | None = number(None, low=0, open_low=True)
    """Clip of the value's change. Off: it depends on the scale of rewards."""
    vf_coef: float = number(0.5, low=0)
    """Weight of the value loss, which is half the mean squared error."""
    ent_coef: float = number(0.0, low=0)
    """Weight of the entropy bonus at the first update (Stable-Baselines3's default)."""
    ent_coef_final: float | None = number(None, low=0)
    """The same at the last update; None keeps it constant."""
    ent_coef_decay: objectives.Decay = static("linear")
    """How ent_coef goes to its final value."""
    ent_coef_hold_fraction: float = number(0.0, low=0, high=1)
    """Share of the run during which ent_coef stays at its first value."""
    ent_coef_decay_fraction: float = number(1.0, low=0, high=1, open_low=True)
    """Share of the run after which ent_coef has reached its final value."""
    entropy_target: float | None = number(None)
    """Entropy in nats that ent_coef is moved to keep, in place of a schedule; None: no control."""
    ent_coef_delta: float = number(1e-4, low=0, open_low=True)
    """How far ent_coef moves per update, with entropy_target."""
    entropy_estimator: entropy.Estimator = static("base")
    """Entropy of a squashed Gaussian: base (before squashing) or sample; others are exact."""
    surrogate: Literal["clipped", "dual_clipped", "kl_penalized"] = static("clipped")
    """The objective: clipped, dual_clipped (a floor for bad actions) or kl_penalized."""
    dual_clip: float = number(3.0, low=1, open_low=True)
    """The floor of dual_clipped, in multiples of a negative advantage (Ye et al. 2020)."""
    kl_coef: float = number(3.0, low=0)
    """Weight of KL(old‖new) in kl_penalized (the best fixed one of the paper's Table 1)."""
    max_grad_norm: float | None = number(0.5, low=0, open_low=True)
    """Largest global norm of a gradient; None leaves gradients as they are."""
    adam_eps: float = number(1e-5, low=0, open_low=True)
    """Adam's ε."""
    target_kl: float | None = number(None, low=0, open_low=True)
    """Leave the update's remaining minibatches once the approximate KL exceeds this."""
    normalize_advantage: bool = static(True)
    """Shift and scale advantages to mean 0 and deviation 1 within each minibatch."""
    normalize_obs: bool = static(False)
    """Divide observations by their running deviation, after removing the mean."""
    normalize_reward: bool = static(False)
    """Divide rewards by the running deviation of the discounted return."""
    hidden_sizes: tuple[int, ...] = static((64, 64))
    """Widths of the hidden layers."""
    activation: str = static("tanh")
    """Activation of the hidden layers."""
    torso: str = static("auto")
    """mlp, cnn, or auto: cnn where an observation is an image."""
    shared_torso: bool = static(False)
    """One torso for actor and critic instead of two."""
    squash: bool = static(False)
    """Continuous actions: tanh-squashed Gaussian instead of a clipped one."""
    reset: ResetPolicy = static("fresh")
    """Where episodes start anew; see jaxrl.vector."""
    pool_size: int | None = static(None)
    """Start states in the pool, with reset=pooled."""

    @classmethod
    def notes(cls, **changes: Any) -> PPOConfig:
        """The lecture notes' §6: the clipped objective, and nothing around it.

        No advantage normalisation, no entropy bonus, no gradient clipping, no schedules.
        """
        plain: dict[str, Any] = dict(normalize_advantage=False, ent_coef=0.0, max_grad_norm=None)
        return cls(**(plain | changes))


class Parts(NamedTuple):
    """What the functions below are built from; fixed before anything is traced."""

    network: ActorCritic
    venv: VectorEnv
    surrogate: Surrogate
    config: PPOConfig  # for its sizes; its numbers are read from the train state


def clipped(log_ratio: Array, advantage: Array, config: PPOConfig) -> Array:
    """PPO's own surrogate; see `objectives.clipped_surrogate`."""
    return objectives.clipped_surrogate(log_ratio, advantage, config.clip_eps)


def dual_clipped(log_ratio: Array, advantage: Array, config: PPOConfig) -> Array:
    """With a floor for bad actions; see `objectives.dual_clipped_surrogate`."""
    return objectives.dual_clipped_surrogate(
        log_ratio, advantage, config.clip_eps, config.dual_clip
    )


def kl_penalized(log_ratio: Array, advantage: Array, config: PPOConfig) -> Array:
    """A penalty in place of the clip; see `objectives.kl_penalized_surrogate`."""
    return objectives.kl_penalized_surrogate(log_ratio, advantage, config.kl_coef)


SURROGATES: dict[str, Surrogate] = {
    "clipped": clipped,
    "dual_clipped": dual_clipped,
    "kl_penalized": kl_penalized,
}
"""What `PPOConfig.surrogate` names."""


def ppo(
    env: Any, config: PPOConfig | None = None, *, surrogate: Surrogate | None = None
) -> Algorithm:
    """Builds PPO for an environment.

    Args:
        env: an environment with a Discrete or a Box action space.
        config: settings; default `PPOConfig()`.
        surrogate: the policy's objective, per sample; default the one that the config names.

    Raises:
        ConfigError: a setting out of range, or a batch that the minibatches do not divide.
        SpaceError: an action or observation space that PPO cannot take.
        UnknownNameError: a name in the config that no table has.
    """
    config = config or PPOConfig()
    network, venv = network_and_envs(env, config)
    check_minibatches(config.num_envs, config.num_steps, config.num_minibatches)
    high = 1 + config.clip_eps
    if config.surrogate == "dual_clipped" and known(config.dual_clip, high):
        check_range("dual_clip", config.dual_clip, high, open_low=True)
    check_spread(config, config.num_envs * config.num_steps // config.num_minibatches)
    if surrogate is None:
        if config.surrogate not in SURROGATES:
            raise unknown_name("surrogate", config.surrogate, SURROGATES)
        surrogate = SURROGATES[config.surrogate]
    parts = Parts(network, venv, surrogate, config)
    return assemble("ppo", env, parts, init=init, collect=collect, learn=learn)


def init(parts: Parts, key: Key, env_params: EnvParams, total_updates: Any = 0) -> OnPolicyState:
    """A fresh train state; `total_updates` is where the schedules end."""
    optimizer = adam(parts.config.max_grad_norm, parts.config.adam_eps)
    return on_policy.init(parts, optimizer, key, env_params, total_updates)


def loss_fn(params: PyTree, batch: Batch, parts: Parts, config: PPOConfig) -> tuple[Array, Metrics]:
    """PPO's loss on one minibatch.

    `-E[surrogate] + vf_coef · ½E[(V - target)²] - ent_coef · E[H]`, arXiv:1707.06347 (9).

    Args:
        params: the network's parameters.
        batch: rows `[N, ...]`; `learn` has normalised their advantages
            (`objectives.normalize_advantage`) where the config asks for it.
        parts: network and surrogate.
        config: coefficients, schedules already applied.

    Returns:
        The scalar loss, and its parts as metrics.
    """
    policy = parts.network.policy(params, batch.obs)
    value = parts.network.value(params, batch.obs)
    log_ratio = policy.log_prob(batch.raw_action) - batch.log_prob
    surrogate = parts.surrogate(log_ratio, batch.advantage, config)
    policy_loss = -objectives.mean(surrogate, batch.weight)
    if config.clip_eps_vf is None:
        value_loss = objectives.squared_value_loss(value, batch.target, weight=batch.weight)
    else:
        value_loss = objectives.clipped_value_loss(
            value, batch.value, batch.target, config.clip_eps_vf, batch.weight
        )
    bonus = objectives.mean(entropy.of(policy, batch.entropy_noise), batch.weight)
    loss = policy_loss + config.vf_coef * value_loss - config.ent_coef * bonus
    return loss, {
        "loss/total": Mean.of(loss),
        "loss/policy": Mean.of(policy_loss),
        "loss/value": Mean.of(value_loss),
        "policy/entropy": Mean.of(bonus),
        "policy/approx_kl": Mean.of(objectives.approx_kl(log_ratio, batch.weight)),
        "policy/clip_fraction": Mean.of(
            objectives.clip_fraction(log_ratio, config.clip_eps, batch.weight)
        ),
    }


def learn(parts: Parts, state: OnPolicyState, trajectory: Trajectory) -> tuple[Any, Metrics]:
    """`update_epochs` passes of minibatch descent over one trajectory `[T, B]`."""
    state = count_rewards(state, trajectory)
    batch = make_batch(parts, state, trajectory)
    now = at_progress(state)
    optimizer = adam(now.max_grad_norm, now.adam_eps)
    key, key_shuffle, key_entropy = jax.random.split(state.key, 3)
    batch = batch._replace(
        entropy_noise=entropy.noise(parts.network, parts.config, key_entropy, batch.target.shape)
    )
    minibatches = minibatch_rows(
        key_shuffle, batch.target.size, parts.config.num_minibatches, parts.config.update_epochs
    )

    def step(carry: tuple[PyTree, PyTree, Array], rows: Array) -> tuple[Any, Metrics]:
        params, opt_state, stopped = carry
        minibatch = take(batch, rows)
        if now.normalize_advantage:
            advantage = objectives.normalize_advantage(minibatch.advantage, minibatch.weight)
            minibatch = minibatch._replace(advantage=advantage)
        grads, metrics = mean_gradient(loss_fn, params, minibatch, parts, now)
        new = descend(optimizer, grads, opt_state, params, now.learning_rate)
        new = unless_empty(minibatch.weight, new, (params, opt_state))
        if now.target_kl is not None:
            stopped |= metrics["policy/approx_kl"].total > now.target_kl
            new = optax.tree.where(stopped, (params, opt_state), new)
        return (*new, stopped), metrics | {"loss/grad_norm": Mean.of(optax.tree.norm(grads))}

    (params, opt_state, _), metrics = jax.lax.scan(
        step, (state.params, state.opt_state, jnp.bool_(False)), minibatches
    )
    metrics = jax.tree.map(jnp.sum, metrics) | {
        "value/explained_variance": Mean.of(
            objectives.explained_variance(batch.value, batch.target, batch.weight)
        ),
        "schedule/learning_rate": Mean.of(now.learning_rate),
        "schedule/ent_coef": Mean.of(now.ent_coef),
    }
    state = finish(
        state.replace(key=key),
        trajectory,
        params=params,
        opt_state=opt_state,
        entropy_now=metrics["policy/entropy"].value,
    )
    return state, metrics | state.vector.episodes


def at_progress(state: OnPolicyState) -> PPOConfig:
    """The config with its schedules evaluated at the state's update, the clip's among them."""
    now = on_policy.at_progress(state)
    clip_eps = objectives.schedule("linear", now.clip_eps, now.clip_eps_final, state.progress)
    return now.replace(clip_eps=clip_eps)
