"""REINFORCE on whole episodes (Williams 1992), with the baselines that make it usable.

Where the story begins: the environment cannot be differentiated, but the log-probability of what
was done in it can, and

    ∇J = E[ Σ_t (G_t - b(s_t)) ∇log π(a_t|s_t) ],    G_t = Σ_{t'≥t} γ^{t'-t} r_{t'}

needs nothing else. `G_t` is noisy; any `b` that does not depend on the action leaves the mean as it
is and can take most of the noise away. An update plays one episode to its end in each of `num_envs`
lanes and makes one step of the policy.

The estimator is exact for the undiscounted return at γ = 1. At γ < 1 everybody drops the factor γ^t
that the gradient of the discounted return has in front of each term (Nota & Thomas 2020,
arXiv:1906.07073); `gamma_power_weighting` puts it back.

An episode that a time limit cut off has rewards that nobody saw. With `baseline="value"` the critic
stands in for them. The other baselines have nothing to ask: their returns end at the limit.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import entropy, normalise, objectives, returns
from jaxrl.config import number, static
from jaxrl.episodic import (
    EpisodicState,
    assemble,
    initial,
    learned_rows,
    limit_of,
    masked_mean,
    masked_normalize,
    masked_std,
    sample_baseline,
)
from jaxrl.errors import ConfigError
from jaxrl.networks import ActorCritic
from jaxrl.on_policy import (
    Extras,
    at_progress,
    finish,
    network_of,
    value,
)
from jaxrl.optim import adam, descend
from jaxrl.types import Algorithm, Array, EnvParams, Key, Mean, Metrics, PyTree, Trajectory
from jaxrl.vector import reset_batch

Baseline = Literal["none", "mean", "time_mean", "value"]
LossReduction = Literal["episode_sum", "step_mean"]


@struct.dataclass
class ReinforceConfig:
    """Settings of REINFORCE. Sizes are static; floats are traced, so a sweep is a `vmap`."""

    num_envs: int = static(64, low=1)
    """Episodes per update, played side by side (the notes' N)."""
    max_episode_steps: int | None = static(None, low=1)
    """Where an episode is cut off; None is the environment's own time limit."""
    learning_rate: float = number(3e-3, low=0, open_low=True)
    """Adam's step size for the policy, of which an update makes one step."""
    learning_rate_final: float | None = number(None, low=0)
    """Step size at the end of the run, reached linearly; None keeps it constant."""
    gamma: float = number(0.99, low=0, high=1)
    """Discount factor."""
    reward_to_go: bool = static(True)
    """Credit an action with what came after it; off, with the whole episode's return."""
    gamma_power_weighting: bool = static(False)
    """Weigh step t by γ^t, as the exact gradient of the discounted return does."""
    baseline: Baseline = static("time_mean")
    """What is subtracted: none, mean (over steps), time_mean (for each t) or value (a critic)."""
    leave_one_out: bool = static(True)
    """Means leave out the episode itself: without bias, also with few episodes."""
    loss_reduction: LossReduction = static("step_mean")
    """episode_sum (sums over steps, mean over episodes: the notes') or step_mean."""
    normalize_advantage: bool = static(True)
    """Shift and scale advantages to mean 0 and deviation 1 over the steps of an update."""
    critic_learning_rate: float = number(1e-3, low=0, open_low=True)
    """Adam's step size for the critic (baseline value)."""
    n_critic_updates: int = static(20, low=1)
    """The critic's gradient steps per update, each on all steps (baseline value)."""
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
    def notes(cls, **changes: Any) -> ReinforceConfig:
        """§2 as it is printed: reward-to-go summed over each episode, nothing subtracted."""
        plain: dict[str, Any] = dict(
            baseline="none",
            leave_one_out=False,
            loss_reduction="episode_sum",
            normalize_advantage=False,
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
    config: ReinforceConfig


class Batch(NamedTuple):
    """What the steps of an update were worth, `[T, B, ...]`; what is not `valid` counts nowhere.

    Attributes:
        obs: as the network sees them.
        raw_action: as sampled.
        credit: `G_t`, or the whole return.
        advantage: what weighs `∇log π`.
        valid: which rows are steps that may be learned from.
        entropy_noise: as in `jaxrl.entropy.of`.
    """

    obs: Array
    raw_action: Array
    credit: Array
    advantage: Array
    valid: Array
    entropy_noise: Array | None = None


def reinforce(env: Any, config: ReinforceConfig | None = None) -> Algorithm:
    """Builds REINFORCE for an environment.

    Args:
        env: an environment with a Discrete or a Box action space.
        config: settings; default `ReinforceConfig()`.

    Raises:
        ConfigError: a setting out of range, settings that do not go together, or an environment
            without a time limit and no `max_episode_steps`.
        SpaceError: an action or observation space that it cannot take.
        UnknownNameError: a name in the config that no table has.
    """
    config = config or ReinforceConfig()
    network = network_of(env, config)
    check(config)
    starts = partial(reset_batch, env, num_envs=config.num_envs)
    parts = Parts(network, env, starts, config.num_envs, limit_of(env, config), config)
    return assemble("reinforce", parts, init=init, learn=learn, critic=config.baseline == "value")


def check(config: ReinforceConfig) -> None:
    """Refuses settings that contradict each other."""
    sample_mean = config.baseline in ("mean", "time_mean")
    if sample_mean and config.num_envs < 2:
        raise ConfigError(
            f"baseline={config.baseline!r} compares an episode with others, and num_envs="
            f"{config.num_envs} plays no other: use num_envs of at least 2, or baseline='none'."
        )
    if not config.reward_to_go and config.baseline == "value":
        raise ConfigError(
            "baseline='value' predicts what is still to come, and reward_to_go=False credits an "
            "action with what came before it too: use reward_to_go=True, or baseline='mean'."
        )
    if not config.reward_to_go and config.gamma_power_weighting:
        raise ConfigError(
            "gamma_power_weighting=True discounts returns that count from their own step, and "
            "with reward_to_go=False all count from the first: switch one of them off."
        )


def init(parts: Parts, key: Key, env_params: EnvParams, total_updates: Any = 0) -> EpisodicState:
    """A fresh train state; `total_updates` is where the schedules end."""
    key, key_params = jax.random.split(key)
    params = parts.network.init(key_params)
    if parts.config.baseline != "value":
        params = {"actor": params["actor"]}
    optimizer = adam(parts.config.max_grad_norm, parts.config.adam_eps)
    opt_state = {name: optimizer.init(each) for name, each in params.items()}
    fields = initial(parts, key, env_params, total_updates, params)
    return EpisodicState(**fields, opt_state=opt_state)


def credits(trajectory: Trajectory, config: ReinforceConfig) -> Array:
    """What each action of a trajectory `[T, B]` is credited with, without a critic. `[T, B]`.

    `G_t`, or the episode's discounted return, the same for all its steps.
    """
    valid = trajectory.valid
    reward = jnp.where(valid, trajectory.reward, 0.0)
    if config.reward_to_go:
        return returns.reward_to_go(
            reward, trajectory.terminated, trajectory.truncated, config.gamma
        )
    return jnp.broadcast_to((powers(config.gamma, reward) * reward).sum(0), reward.shape)


def powers(gamma: Array | float, like: Array) -> Array:
    """`γ^t` of each row of an array `[T, B]`, `[T, 1]`; every episode begins at row 0."""
    return (gamma ** jnp.arange(like.shape[0], dtype=like.dtype))[:, None]


def make_batch(parts: Parts, state: Any, trajectory: Trajectory) -> Batch:
    """Credit and advantage of every step, from the critic as it is where there is one."""
    config = state.config
    valid = learned_rows(trajectory, whole_episode=not config.reward_to_go)
    if config.baseline == "value":
        reward = jnp.where(valid, trajectory.reward, 0.0)
        values = value(parts, state, trajectory.obs)
        # What a step beyond the end leads to may not be defined.
        next_values = jnp.where(valid, value(parts, state, trajectory.next_obs), 0.0)
        ends = (trajectory.terminated, trajectory.truncated)
        # With λ = 1 this is G_t - V(s_t), and G_t goes on with V where a time limit cut it off.
        advantage = returns.gae(
            reward, values, next_values, *ends, gamma=config.gamma, gae_lambda=1.0
        )
        credit = advantage + values
    else:
        credit = advantage = credits(trajectory, config)
    if config.baseline in ("mean", "time_mean"):
        advantage -= sample_baseline(
            credit,
            valid,
            each_time=config.baseline == "time_mean",
            leave_one_out=config.leave_one_out,
        )
    if config.gamma_power_weighting:
        advantage *= powers(config.gamma, advantage)
    if config.normalize_advantage:
        advantage = masked_normalize(advantage, valid)
    extras: Extras = trajectory.extras
    obs = normalise.see(state.obs_stats, trajectory.obs)
    return Batch(obs, extras.raw_action, credit, jnp.where(valid, advantage, 0.0), valid)


def loss_fn(
    actor: PyTree, batch: Batch, parts: Parts, config: ReinforceConfig
) -> tuple[Array, Metrics]:
    """`-E[Σ_t A_t log π(a_t|s_t)] - ent_coef · E[H]`, whose gradient is the estimate.

    Args:
        actor: the policy's parameters.
        batch: `[T, B, ...]`.
        parts: the network.
        config: coefficients, schedules already applied.

    Returns:
        The scalar loss, and its parts as metrics.
    """
    policy = parts.network.policy({"actor": actor}, batch.obs)
    objective = objectives.policy_gradient(policy.log_prob(batch.raw_action), batch.advantage)
    if config.loss_reduction == "episode_sum":
        policy_loss = -jnp.where(batch.valid, objective, 0.0).sum() / batch.valid.shape[1]
    else:
        policy_loss = -masked_mean(objective, batch.valid)
    bonus = masked_mean(entropy.of(policy, batch.entropy_noise), batch.valid)
    loss = policy_loss - config.ent_coef * bonus
    return loss, {
        "loss/policy": Mean.of(policy_loss),
        "policy/entropy": Mean.of(bonus),
    }


def fit_critic(
    parts: Parts, state: Any, batch: Batch, optimizer: optax.GradientTransformation
) -> tuple[PyTree, PyTree, Metrics]:
    """`n_critic_updates` steps of descent on `½ E[(V - G)²]`: `(critic, opt_state, metrics)`.

    After the policy's step, so that the values it was compared with had not seen these episodes.
    """

    def loss(critic: PyTree) -> Array:
        error = parts.network.value({"critic": critic}, batch.obs) - batch.credit
        return 0.5 * masked_mean(jnp.square(error), batch.valid)

    def step(carry: tuple[PyTree, PyTree], _: None) -> tuple[Any, Array]:
        critic, opt_state = carry
        value_loss, grads = jax.value_and_grad(loss)(critic)
        rate = state.config.critic_learning_rate
        return descend(optimizer, grads, opt_state, critic, rate), value_loss

    start = (state.params["critic"], state.opt_state["critic"])
    (critic, opt_state), losses = jax.lax.scan(
        step, start, None, length=parts.config.n_critic_updates
    )
    return critic, opt_state, {"loss/value": Mean(losses.sum(), jnp.float32(losses.size))}


def learn(parts: Parts, state: EpisodicState, trajectory: Trajectory) -> tuple[Any, Metrics]:
    """One step of the policy on the episodes of one update, and several of the critic."""
    batch = make_batch(parts, state, trajectory)
    now = at_progress(state)
    optimizer = adam(now.max_grad_norm, now.adam_eps)
    key, key_entropy = jax.random.split(state.key)
    batch = batch._replace(
        entropy_noise=entropy.noise(parts.network, parts.config, key_entropy, batch.valid.shape)
    )
    grads, metrics = jax.grad(loss_fn, has_aux=True)(state.params["actor"], batch, parts, now)
    params, opt_state = dict(state.params), dict(state.opt_state)
    params["actor"], opt_state["actor"] = descend(
        optimizer, grads, opt_state["actor"], params["actor"], now.learning_rate
    )
    if parts.config.baseline == "value":
        params["critic"], opt_state["critic"], more = fit_critic(parts, state, batch, optimizer)
        metrics |= more
    metrics |= {
        "loss/grad_norm": Mean.of(optax.tree.norm(grads)),
        "advantage/std": Mean.of(masked_std(batch.advantage, batch.valid)),
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
