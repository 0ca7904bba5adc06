"""Actor-critic: one step at a time as the lecture notes print it, A2C, and IMPALA's V-trace.

The pain it cures: REINFORCE waits for an episode's end and then blames every action for the whole
return. A critic V says what was to be expected, and the TD error says at once whether a step went
better or worse:

    δ_t = r_t + γ V(s_{t+1}) - V(s_t)
    actor: ascend E[δ_t log π(a_t|s_t)],    critic: descend E[δ_t²]

One loss covers the family. With `num_steps=1, gae_lambda=0` it is the above
(`ActorCriticConfig.notes()`); with longer windows and λ = 1 it is A2C, the synchronous form of A3C
(Mnih et al. 2016, arXiv:1602.01783), which is the default; with `vtrace=True` it learns from
actors that lag behind (Espeholt et al. 2018, arXiv:1802.01561). One gradient step an update, on
all of its data: there is nothing to shuffle and no ratio to clip.

Read on from top to bottom: config, builder, init, collect, loss, learn. Acting, valuing and
stepping are those of every on-policy actor-critic (`jaxrl.on_policy`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import entropy, normalise, objectives, on_policy, returns
from jaxrl.advantages import count_rewards
from jaxrl.config import number, static
from jaxrl.errors import ConfigError, known
from jaxrl.minibatch import row_weight, unless_empty
from jaxrl.networks import ActorCritic
from jaxrl.on_policy import (
    OnPolicyState,
    assemble,
    at_progress,
    check_spread,
    finish,
    network_and_envs,
)
from jaxrl.optim import Rule, by_rule, descend
from jaxrl.types import Algorithm, Array, EnvParams, Key, Mean, Metrics, PyTree, Record, Trajectory
from jaxrl.vector import ResetPolicy, VectorEnv


@struct.dataclass
class ActorCriticConfig:
    """Settings of the actor-critic. Sizes are static; floats are traced.

    Defaults are A2C's of Stable-Baselines3 unless said otherwise.
    """

    num_envs: int = static(8, low=1)
    """Environments side by side."""
    num_steps: int = static(5, low=1)
    """Steps of each environment per update; 1 updates after every step."""
    learning_rate: float = number(7e-4, low=0, open_low=True)
    """Step size at the first update."""
    learning_rate_final: float | None = number(None, low=0)
    """Step size at the last update, reached linearly; None keeps it constant, 0 anneals."""
    optimizer: Rule = static("rmsprop")
    """rmsprop, adam, or sgd: the gradient as it is."""
    optimizer_eps: float = number(1e-5, low=0, open_low=True)
    """ε of rmsprop and of adam."""
    gamma: float = number(0.99, low=0, high=1)
    """Discount factor."""
    gae_lambda: float = number(1.0, low=0, high=1)
    """GAE's and V-trace's λ: 0 is the one-step TD error, 1 bootstraps at the window's end."""
    stop_target_gradients: bool = static(True)
    """Critic: take targets for constants (semi-gradient). Off: the residual gradient."""
    vf_coef: float = number(1.0, low=0)
    """Weight of the value loss, which is half the mean squared error."""
    ent_coef: float = number(0.0, low=0)
    """Weight of the entropy bonus at the first update."""
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
    vtrace: bool = static(False)
    """Correct targets and advantages for the actors' lag by V-trace."""
    rho_bar: float = number(1.0, low=0, open_low=True)
    """V-trace's ρ̄: the largest ratio in a TD error and in an advantage."""
    c_bar: float = number(1.0, low=0, open_low=True)
    """V-trace's c̄: the largest ratio in a trace; at most rho_bar."""
    policy_lag: int = static(0, low=0)
    """Updates by which the policy that acts is older than the one that learns."""
    max_grad_norm: float | None = number(0.5, low=0, open_low=True)
    """Largest global norm of a gradient; None leaves gradients as they are."""
    normalize_advantage: bool = static(False)
    """Shift and scale advantages to mean 0 and deviation 1 within each update."""
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
    def notes(cls, **changes: Any) -> ActorCriticConfig:
        """The lecture notes' §4: after every step, one step along the TD error.

        The critic's loss is the plain square of the TD error (`vf_coef=2` of half of it) and its
        target is a constant; `stop_target_gradients=False` differentiates the loss as printed.
        """
        plain: dict[str, Any] = dict(
            num_steps=1, gae_lambda=0.0, vf_coef=2.0, max_grad_norm=None, optimizer="sgd"
        )
        return cls(**(plain | changes))

    @classmethod
    def impala(cls, **changes: Any) -> ActorCriticConfig:
        """IMPALA's learner: V-trace over longer windows, actors one update behind."""
        plain: dict[str, Any] = dict(vtrace=True, policy_lag=1, num_steps=20, ent_coef=0.01)
        return cls(**(plain | changes))


class Parts(NamedTuple):
    """What the functions below are built from; fixed before anything is traced."""

    network: ActorCritic
    venv: VectorEnv
    config: ActorCriticConfig  # for its sizes; its numbers are read from the train state


@struct.dataclass
class ActorCriticState(OnPolicyState):
    """An on-policy state, and the parameters of the last `policy_lag` updates, oldest first."""

    past_params: PyTree


def a2c(env: Any, config: ActorCriticConfig | None = None) -> Algorithm:
    """Builds the actor-critic for an environment.

    Args:
        env: an environment with a Discrete or a Box action space.
        config: settings; default `ActorCriticConfig()`, which is A2C.

    Raises:
        ConfigError: a setting out of range, or settings that do not fit together.
        SpaceError: an action or observation space that it cannot take.
        UnknownNameError: a name in the config that no table has.
    """
    config = config or ActorCriticConfig()
    network, venv = network_and_envs(env, config)
    check_spread(config, config.num_envs * config.num_steps)
    by_rule(config.optimizer, config.max_grad_norm, config.optimizer_eps)
    if known(config.c_bar, config.rho_bar) and config.c_bar > config.rho_bar:
        raise ConfigError(
            f"c_bar={config.c_bar} is above rho_bar={config.rho_bar}: V-trace needs c_bar <= "
            "rho_bar, lower the first or raise the second."
        )
    parts = Parts(network, venv, config)
    return assemble("a2c", env, parts, init=init, collect=collect, learn=learn)


def init(parts: Parts, key: Key, env_params: EnvParams, total_updates: Any = 0) -> ActorCriticState:
    """A fresh train state; `total_updates` is where the schedules end."""
    config = parts.config
    optimizer = by_rule(config.optimizer, config.max_grad_norm, config.optimizer_eps)
    state = on_policy.init(parts, optimizer, key, env_params, total_updates)
    past = jax.tree.map(lambda x: jnp.broadcast_to(x, (config.policy_lag, *x.shape)), state.params)
    return ActorCriticState(**vars(state), past_params=past)


def collect(
    parts: Parts, state: ActorCriticState, record: Record = "nothing"
) -> tuple[ActorCriticState, Trajectory]:
    """Plays `num_steps` steps in all environments, with the policy of `policy_lag` updates ago."""
    if parts.config.policy_lag == 0:
        return on_policy.collect(parts, state, record)
    oldest = jax.tree.map(lambda x: x[0], state.past_params)
    acted, trajectory = on_policy.collect(parts, state.replace(params=oldest), record)
    return acted.replace(params=state.params), trajectory


def loss_fn(
    params: PyTree,
    trajectory: Trajectory,
    noise: Array | None,
    parts: Parts,
    config: ActorCriticConfig,
) -> tuple[Array, Metrics]:
    """The actor's and the critic's loss on a trajectory `[T, B]`.

    `-E[A log π(a|s)] + vf_coef · ½E[(target - V)²] - ent_coef · E[H]`, where no gradient flows
    through A, nor through the target unless `stop_target_gradients` is off.

    Args:
        params: the network's parameters.
        trajectory: observations normalised and rewards scaled already.
        noise: as in `entropy.of`.
        parts: the network, and the switches of the config.
        config: coefficients, schedules already applied.

    Returns:
        The scalar loss, and its parts as metrics.
    """
    policy = parts.network.policy(params, trajectory.obs)
    log_prob = policy.log_prob(trajectory.extras.raw_action)
    log_ratio = jax.lax.stop_gradient(log_prob) - trajectory.extras.log_prob
    value = parts.network.value(params, trajectory.obs)
    next_value = parts.network.value(params, trajectory.next_obs)
    steps = (trajectory.reward, value, next_value, trajectory.terminated, trajectory.truncated)
    if config.vtrace:
        target, advantage = returns.vtrace(
            log_ratio,
            *steps,
            gamma=config.gamma,
            lambda_=config.gae_lambda,
            rho_bar=config.rho_bar,
            c_bar=config.c_bar,
        )
    else:
        advantage = returns.gae(*steps, gamma=config.gamma, gae_lambda=config.gae_lambda)
        target = advantage + value

    rows = row_weight(trajectory)
    weight = advantage
    if config.normalize_advantage:
        weight = objectives.normalize_advantage(advantage, rows)
    policy_loss = -objectives.mean(objectives.policy_gradient(log_prob, weight), rows)
    value_loss = objectives.squared_value_loss(value, target, config.stop_target_gradients, rows)
    bonus = objectives.mean(entropy.of(policy, noise), rows)
    loss = policy_loss + config.vf_coef * value_loss - config.ent_coef * bonus
    return loss, {
        "loss/total": Mean.of(loss),
        "loss/policy": Mean.of(policy_loss),
        "loss/value": Mean.of(value_loss),
        "policy/entropy": Mean.of(bonus),
        "policy/approx_kl": Mean.of(objectives.approx_kl(log_ratio)),  # of the lag; 0 without
        "value/explained_variance": Mean.of(objectives.explained_variance(value, target, rows)),
    }


def learn(
    parts: Parts, state: ActorCriticState, trajectory: Trajectory
) -> tuple[ActorCriticState, Metrics]:
    """One gradient step on a trajectory `[T, B]`."""
    state = count_rewards(state, trajectory)
    seen = trajectory._replace(
        obs=normalise.see(state.obs_stats, trajectory.obs),
        next_obs=normalise.see(state.obs_stats, trajectory.next_obs),
        reward=normalise.scale_reward(trajectory.reward, state.return_stats),
    )
    now = at_progress(state)
    key, key_entropy = jax.random.split(state.key)
    noise = entropy.noise(parts.network, parts.config, key_entropy, trajectory.reward.shape)
    grads, metrics = jax.grad(loss_fn, has_aux=True)(state.params, seen, noise, parts, now)
    optimizer = by_rule(now.optimizer, now.max_grad_norm, now.optimizer_eps)
    new = descend(optimizer, grads, state.opt_state, state.params, now.learning_rate)
    params, opt_state = unless_empty(row_weight(trajectory), new, (state.params, state.opt_state))
    metrics |= {
        "loss/grad_norm": Mean.of(optax.tree.norm(grads)),
        "schedule/learning_rate": Mean.of(now.learning_rate),
        "schedule/ent_coef": Mean.of(now.ent_coef),
    }
    if parts.config.policy_lag:
        past = jax.tree.map(
            lambda past, now: jnp.concatenate([past[1:], now[None]]),
            state.past_params,
            state.params,
        )
        state = state.replace(past_params=past)
    state = finish(
        state.replace(key=key),
        trajectory,
        params=params,
        opt_state=opt_state,
        entropy_now=metrics["policy/entropy"].value,
    )
    return state, metrics | state.vector.episodes
