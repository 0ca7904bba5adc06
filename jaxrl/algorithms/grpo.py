"""Group relative policy optimisation (Shao et al. 2024, arXiv:2402.03300), on environments.

The pain it cures: PPO needs a critic, a second network with learning dynamics of its own. GRPO asks
no critic what to expect of a start; it plays `num_generations` episodes from it and compares them:

    A_i = (R_i - mean R) / std R,     L = E[ min(ρ A, clip(ρ, 1-ε, 1+ε) A) ] - β KL(π_θ‖π_ref)

where `R_i` is a whole episode's undiscounted return, and `A_i` the advantage of all its steps.

An update draws `num_groups` start states, plays `num_generations` whole episodes from each, and
makes `num_iterations` gradient steps on all of them. The mathematics is in `jaxrl.group`, in rows
of tokens; here a row is an episode and a token a step. Settings have TRL's names.

The reference policy is frozen: the parameters (and observation statistics) given to `grpo`, else
those that the run begins with. Those are close to uniform, and KL(π‖uniform) is `log A` less the
entropy: without a trained reference, `beta` is an entropy bonus by another name.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import entropy, group, normalise, objectives
from jaxrl.config import number, static
from jaxrl.episodic import EpisodicState, assemble, initial, learned_rows, limit_of, masked_mean
from jaxrl.errors import ConfigError, known
from jaxrl.networks import ActorCritic
from jaxrl.on_policy import (
    Extras,
    at_progress,
    finish,
    network_of,
)
from jaxrl.optim import adam, descend
from jaxrl.types import (
    Algorithm,
    Array,
    EnvParams,
    EnvState,
    Key,
    Mean,
    Metrics,
    PolicyState,
    PyTree,
    Trajectory,
)
from jaxrl.vector import reset_batch

Reference = Literal["none", "frozen"]


@struct.dataclass
class GRPOConfig:
    """Settings of GRPO. Sizes are static; floats are traced, so a sweep is a `vmap`.

    Defaults of the estimator are Dr. GRPO's (arXiv:2503.20783): no deviation, a constant divisor.
    """

    num_groups: int = static(8, low=1)
    """Start states per update."""
    num_generations: int = static(8, low=2)
    """Episodes from each start (the notes' K)."""
    max_episode_steps: int | None = static(None, low=1)
    """Where an episode is cut off; None is the environment's own time limit."""
    num_iterations: int = static(4, low=1)
    """Gradient steps per update, each on all its episodes; at 1 the clip has nothing to do."""
    learning_rate: float = number(1e-3, low=0, open_low=True)
    """Adam's step size at the start of the run."""
    learning_rate_final: float | None = number(None, low=0)
    """Step size at the end of the run, reached linearly; None keeps it constant."""
    baseline: group.Baseline = static("group_mean")
    """What a return is compared with: group_mean, or leave_one_out (the mean of the others)."""
    scale_rewards: group.ScaleRewards = static("none")
    """Divide advantages by the deviation of their group, of the batch, or of none."""
    loss_type: group.LossType = static("dr_grpo")
    """How steps become one number: grpo, dapo, bnpo, dr_grpo, sum; see jaxrl.group.aggregate."""
    advantage_length_norm: bool = static(False)
    """Divide advantages by the episode's length (the notes' 1/L); not with a loss that does so."""
    importance_sampling_level: group.Level = static("token")
    """A ratio for each step (token), or one for a whole episode (sequence)."""
    epsilon: float = number(0.2, low=0, high=1, open_low=True)
    """Half width of the interval in which the ratio counts."""
    epsilon_high: float | None = number(None, low=0, open_low=True)
    """Its upper half, where it differs (DAPO: 0.28)."""
    delta: float | None = number(None, low=1, open_low=True)
    """Largest ratio that counts for bad episodes, above 1 + epsilon_high; None: no bound."""
    beta: float = number(0.0, low=0)
    """Weight of KL(π‖π_ref); needs reference_policy='frozen'."""
    reference_policy: Reference = static("none")
    """What beta pulls towards: none, or frozen (given to grpo(), else that of the run's start)."""
    kl_estimator: group.KLEstimator = static("exact")
    """exact (over all actions), k1, k2, k3 or k3_is; k1 and k3 are traps, see jaxrl.group."""
    ent_coef: float = number(0.0, low=0)
    """Weight of the entropy bonus, a mean over steps, at the start of the run."""
    ent_coef_final: float | None = number(None, low=0)
    """The same at the end of the run; None keeps it constant."""
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
    max_grad_norm: float | None = number(0.5, low=0, open_low=True)
    """Largest global norm of a gradient; None leaves gradients as they are."""
    adam_eps: float = number(1e-5, low=0, open_low=True)
    """Adam's ε."""
    normalize_obs: bool = static(False)
    """Divide observations by their running deviation, after removing the mean."""
    hidden_sizes: tuple[int, ...] = static((64, 64))
    """Widths of the hidden layers."""
    activation: str = static("tanh")
    """Activation of the hidden layers."""
    torso: str = static("auto")
    """mlp, cnn, or auto: cnn where an observation is an image."""
    squash: bool = static(False)
    """Continuous actions: tanh-squashed Gaussian instead of a clipped one."""

    @classmethod
    def notes(cls, **changes: Any) -> GRPOConfig:
        """§7 as it is printed: z-scores over L, summed over steps, and a KL to the reference."""
        plain: dict[str, Any] = dict(
            scale_rewards="group",
            loss_type="sum",
            advantage_length_norm=True,
            beta=0.04,
            reference_policy="frozen",
            max_grad_norm=None,
        )
        return cls(**(plain | changes))


class Parts(NamedTuple):
    """What the functions below are built from; see `episodic.Parts`."""

    network: ActorCritic
    env: Any
    starts: Any
    num_lanes: int
    max_steps: int
    config: GRPOConfig
    reference: PolicyState | None


@struct.dataclass
class GRPOState(EpisodicState):
    """The train state of GRPO.

    Attributes:
        reference: the frozen policy, or None where there is none.
    """

    reference: PolicyState | None


class Batch(NamedTuple):
    """The episodes of an update, steps `[T, N, ...]` with `N = G·K`, and their advantages.

    Attributes:
        obs: as the policy sees them.
        ref_obs: as the reference sees them, or None.
        raw_action: as sampled.
        old_log_prob: of the policy that sampled them.
        advantage: `[N, 1]`.
        mask: bool `[N, T]`.
        entropy_noise: as in `jaxrl.entropy.of`.
    """

    obs: Array
    ref_obs: Array | None
    raw_action: Array
    old_log_prob: Array
    advantage: Array
    mask: Array
    entropy_noise: Array | None = None


def grpo(
    env: Any, config: GRPOConfig | None = None, *, reference: PolicyState | None = None
) -> Algorithm:
    """Builds GRPO for an environment.

    Args:
        env: an environment with a Discrete or a Box action space.
        config: settings; default `GRPOConfig()`.
        reference: the policy that `beta` pulls towards, of one seed (as `open_run(...).policies`
            holds them for all); default the one that the run begins with.

    Raises:
        ConfigError: a setting out of range, settings that do not go together, or an environment
            without a time limit and no `max_episode_steps`.
        SpaceError: an action or observation space that it cannot take.
        UnknownNameError: a name in the config that no table has.
    """
    config = config or GRPOConfig()
    network = network_of(env, config)
    check(config, reference)
    num_lanes = config.num_groups * config.num_generations

    def starts(key: Key, env_params: EnvParams) -> tuple[PyTree, EnvState]:
        """Each start as often as its group has episodes, one after the other."""
        drawn = reset_batch(env, key, env_params, config.num_groups)
        return jax.tree.map(lambda x: jnp.repeat(x, config.num_generations, axis=0), drawn)

    parts = Parts(network, env, starts, num_lanes, limit_of(env, config), config, reference)
    return assemble("grpo", parts, init=init, learn=learn, critic=False)


def check(config: GRPOConfig, reference: PolicyState | None) -> None:
    """Refuses settings that contradict each other."""
    if config.advantage_length_norm and config.loss_type != "sum":
        raise ConfigError(
            f"advantage_length_norm=True divides advantages by the length, and loss_type="
            f"{config.loss_type!r} divides again: use loss_type='sum' (the notes' form), or "
            "advantage_length_norm=False."
        )
    pulled = reference is not None or (known(config.beta) and config.beta > 0)
    if config.reference_policy == "none" and pulled:
        raise ConfigError(
            f"beta={config.beta} pulls towards a reference policy, and reference_policy='none' "
            "keeps none: use reference_policy='frozen', or beta=0 and no reference."
        )
    high = config.epsilon if config.epsilon_high is None else config.epsilon_high
    delta = config.delta
    if delta is not None and known(delta, high) and not delta > 1 + high:
        raise ConfigError(
            f"delta={delta} lies within the clip, which ends at {1 + high:g}: use a larger "
            "one, or None."
        )


def init(parts: Parts, key: Key, env_params: EnvParams, total_updates: Any = 0) -> GRPOState:
    """A fresh train state; `total_updates` is where the schedules end.

    Raises:
        ConfigError: a reference policy whose parameters are not this network's.
    """
    key, key_params = jax.random.split(key)
    params = {"actor": parts.network.init(key_params)["actor"]}
    fields = initial(parts, key, env_params, total_updates, params)
    reference = None
    if parts.config.reference_policy == "frozen":
        # A copy: the state is donated, and no buffer can be given away twice.
        start = PolicyState(jax.tree.map(jnp.copy, params), fields["obs_stats"])
        reference = _fitting(parts.reference, start)
    optimizer = adam(parts.config.max_grad_norm, parts.config.adam_eps)
    return GRPOState(**fields, opt_state=optimizer.init(params), reference=reference)


def _fitting(given: PolicyState | None, start: PolicyState) -> PolicyState:
    """The given reference policy, or the start where none is given."""
    if given is None:
        return start
    actor = PolicyState({"actor": given.params["actor"]}, given.obs_stats)
    shapes = [jax.tree.map(jnp.shape, p) for p in (actor.params, start.params)]
    if shapes[0] != shapes[1]:
        raise ConfigError(
            f"the reference policy's parameters have shapes {shapes[0]}, those of this network "
            f"are {shapes[1]}: give the policy of one seed, of the same hidden_sizes."
        )
    return jax.tree.map(jnp.asarray, actor)


def make_batch(parts: Parts, state: GRPOState, trajectory: Trajectory) -> tuple[Batch, Metrics]:
    """Returns, their advantages within groups, and what the loss needs of a trajectory `[T, N]`."""
    config = parts.config
    rewards = jnp.where(trajectory.valid, trajectory.reward, 0.0).sum(0)
    rewards = rewards.reshape(config.num_groups, config.num_generations)
    mask, complete = trajectory.valid.T, None
    if trajectory.labelled is not None:
        mask = learned_rows(trajectory, whole_episode=True).T
        complete = mask.any(1).reshape(rewards.shape)
    advantage = group.group_advantages(
        rewards, complete, baseline=config.baseline, scale_rewards=config.scale_rewards
    ).reshape(-1)
    if config.advantage_length_norm:
        advantage = group.length_normalized(advantage, mask)
    else:
        advantage = advantage[:, None]
    extras: Extras = trajectory.extras
    ref_obs = None
    if state.reference is not None:
        ref_obs = normalise.see(state.reference.obs_stats, trajectory.obs)
    batch = Batch(
        obs=normalise.see(state.obs_stats, trajectory.obs),
        ref_obs=ref_obs,
        raw_action=extras.raw_action,
        old_log_prob=extras.log_prob,
        advantage=advantage,
        mask=mask,
    )
    return batch, {
        "group/return_std": Mean.of(group.deviations(rewards, complete).mean()),
        "group/zero_std_fraction": Mean.of(
            group.all_equal(rewards, complete).mean(dtype=jnp.float32)
        ),
    }


def loss_fn(
    params: PyTree, batch: Batch, parts: Parts, config: GRPOConfig, reference: PolicyState | None
) -> tuple[Array, Metrics]:
    """`-surrogate + beta · KL(π_θ‖π_ref) - ent_coef · E[H]` of all episodes of an update.

    The first two are aggregated alike, by `loss_type`. In the notes' form, where the 1/L is in the
    advantage, the KL gets it from `loss_type="grpo"`, whose steps weigh the same, so that the form
    is the published one with its KL, too. The entropy is a mean over steps, as in TRL.

    Args:
        params: the network's parameters.
        batch: the episodes.
        parts: the network and sizes.
        config: coefficients, schedules already applied.
        reference: the frozen policy, or None.

    Returns:
        The scalar loss, and its parts as metrics.
    """
    policy = parts.network.policy(params, batch.obs)
    log_prob = policy.log_prob(batch.raw_action).T
    log_ratio = group.importance_log_ratio(
        log_prob, batch.old_log_prob.T, batch.mask, config.importance_sampling_level
    )
    clip = dict(epsilon=config.epsilon, epsilon_high=config.epsilon_high)
    objective = group.surrogate(log_ratio, batch.advantage, **clip, delta=config.delta)
    policy_loss = -group.aggregate(objective, batch.mask, config.loss_type, parts.max_steps)
    bonus = masked_mean(entropy.of(policy, batch.entropy_noise).T, batch.mask)
    loss = policy_loss - config.ent_coef * bonus
    metrics = {
        "loss/policy": Mean.of(policy_loss),
        "policy/entropy": Mean.of(bonus),
        "policy/clip_fraction": Mean.of(
            group.clipped_share(log_ratio, batch.advantage, batch.mask, **clip)
        ),
    }
    if reference is not None:
        frozen = parts.network.policy(reference.params, batch.ref_obs)
        if config.kl_estimator == "exact":
            kl = policy.kl_divergence(frozen).T
        else:
            ref_log_prob = frozen.log_prob(batch.raw_action).T
            kl = group.sampled_kl(
                config.kl_estimator, log_prob, ref_log_prob, log_ratio, batch.mask
            )
        kl_loss_type = "grpo" if config.advantage_length_norm else config.loss_type
        loss += config.beta * group.aggregate(kl, batch.mask, kl_loss_type, parts.max_steps)
        metrics["policy/kl_to_reference"] = Mean.of(masked_mean(kl, batch.mask))
    return loss, metrics | {"loss/total": Mean.of(loss)}


def learn(parts: Parts, state: GRPOState, trajectory: Trajectory) -> tuple[Any, Metrics]:
    """`num_iterations` gradient steps on the episodes of one update."""
    batch, of_groups = make_batch(parts, state, trajectory)
    now = at_progress(state)
    optimizer = adam(now.max_grad_norm, now.adam_eps)
    key, key_entropy = jax.random.split(state.key)
    batch = batch._replace(
        entropy_noise=entropy.noise(
            parts.network, parts.config, key_entropy, batch.old_log_prob.shape
        )
    )

    def step(carry: tuple[PyTree, PyTree], _: None) -> tuple[Any, Metrics]:
        params, opt_state = carry
        grads, metrics = jax.grad(loss_fn, has_aux=True)(params, batch, parts, now, state.reference)
        carry = descend(optimizer, grads, opt_state, params, now.learning_rate)
        return carry, metrics | {"loss/grad_norm": Mean.of(optax.tree.norm(grads))}

    (params, opt_state), metrics = jax.lax.scan(
        step, (state.params, state.opt_state), None, length=parts.config.num_iterations
    )
    metrics = jax.tree.map(jnp.sum, metrics) | of_groups
    metrics |= {
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
    return state, metrics | state.episodes
