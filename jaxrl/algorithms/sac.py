"""Soft actor-critic, for continuous and for discrete actions.

The pain it cures: a policy that is greedy on a value function tries nothing else, and for actions
that are vectors nobody can take the maximum over them. SAC learns the policy that is best when its
entropy is part of the reward,

    max_π E[ Σ γ^t (r_t + α H(π(·|s_t))) ],    which is    π(a|s) ∝ exp(Q(s, a) / α)

off-policy, from a replay (Haarnoja et al. 2018, arXiv:1801.01290):

    critics: Q_i(s, a) → r + γ E[min_j Q'_j(s', a') - α log π(a'|s')],    a' ~ π(·|s')
    actor:   minimise E[α log π(a|s) - min_i Q_i(s, a)],                  a  ~ π(·|s)

The lesser of two critics counts, because one alone is believed where it is too high. The
temperature α is learned: it rises while the entropy is below its target and falls while it is above
(arXiv:1812.05905). Actions are tanh-squashed Gaussian samples; for Discrete spaces the expectations
are sums over the actions (Christodoulou 2019, arXiv:1910.07207).

Actor, critics and temperature make their steps at once, from the same parameters and the same
batch. Read on from top to bottom: config, builder, init, act, collect, loss, learn. The replay and
the loop over gradient steps are those of every off-policy estimator (`jaxrl.off_policy`).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl import normalise, objectives, off_policy, replay_sizes, spaces
from jaxrl.config import number, static, validate
from jaxrl.critics import SoftActorCritic, soft_actor_critic
from jaxrl.distributions import Categorical, Distribution, uniform_from
from jaxrl.env_check import check_env
from jaxrl.errors import ConfigError
from jaxrl.off_policy import OffPolicyState, batch_mean
from jaxrl.replay import Layout, Sample
from jaxrl.types import Algorithm, Array, EnvParams, Key, Mean, Metrics, PyTree, Record, Trajectory
from jaxrl.vector import ResetPolicy, VectorEnv, rollout, vectorize


@struct.dataclass
class SACConfig:
    """Settings of SAC. Sizes are static; floats are traced, so a sweep over them is a `vmap`.

    Defaults are those of Stable-Baselines3's SAC unless said otherwise.
    """

    num_envs: int = static(1, low=1)
    """Environments side by side."""
    num_steps: int = static(1, low=1)
    """Steps of each environment per update."""
    buffer_size: int = static(1_000_000, low=1)
    """Transitions that the replay keeps."""
    batch_size: int = static(256, low=1)
    """Transitions of a gradient step."""
    replay_ratio: float = static(1.0, low=0)
    """Gradient steps per environment step; a whole number of them must come out for an update."""
    learning_starts: int = static(100, low=0)
    """Steps of random actions before the first gradient step."""
    store_obs_as: Literal["same", "bool", "uint8"] = static("same")
    """Type of stored observations: their own, or a smaller one that holds their values."""
    learning_rate: float = number(3e-4, low=0, open_low=True)
    """Adam's step size at the first update, for actor, critics and temperature."""
    learning_rate_final: float | None = number(None, low=0)
    """Step size at the last update, reached linearly; None keeps it constant, 0 anneals."""
    gamma: float = number(0.99, low=0, high=1)
    """Discount factor."""
    ent_coef: float = number(1.0, low=0, open_low=True)
    """The temperature α: where it starts, or what it is with learn_ent_coef off."""
    learn_ent_coef: bool = static(True)
    """Move the temperature to where the entropy is on its target."""
    target_entropy: float | None = number(None)
    """Entropy aimed at, in nats, of actions in the environment's units; None: see the next two."""
    target_entropy_per_action: float = number(-1.0)
    """Continuous: the default target per dimension, of actions scaled to [-1, 1]."""
    target_entropy_ratio: float = number(0.5, low=0, high=1)
    """Discrete: the default target as a share of log A (0.98 in the paper, too random to act)."""
    target_period: int = static(1, low=1)
    """Gradient steps between two moves of the target critics."""
    tau: float = number(0.005, low=0, high=1, open_low=True)
    """Share of the way that the target critics then move."""
    max_grad_norm: float | None = number(None, low=0, open_low=True)
    """Largest global norm of a gradient, all parts together; None leaves them as they are."""
    adam_eps: float = number(1e-8, low=0, open_low=True)
    """Adam's ε."""
    normalize_obs: bool = static(False)
    """Divide observations by their running deviation, after removing the mean."""
    hidden_sizes: tuple[int, ...] = static((256, 256))
    """Widths of the hidden layers."""
    activation: str = static("relu")
    """Activation of the hidden layers."""
    layer_norm: bool = static(False)
    """Layer normalisation before each activation of the dense layers."""
    torso: str = static("auto")
    """mlp, cnn, or auto: cnn where an observation is an image."""
    reset: ResetPolicy = static("fresh")
    """Where episodes start anew; see jaxrl.vector."""
    pool_size: int | None = static(None)
    """Start states in the pool, with reset=pooled."""


class Parts(NamedTuple):
    """What the functions below are built from; fixed before anything is traced."""

    network: SoftActorCritic
    venv: VectorEnv
    layout: Layout
    env: Any
    config: SACConfig  # for its sizes; its numbers are read from the train state

    @property
    def action_space(self) -> Any:
        """The environment's."""
        return self.env.action_space(self.env.default_params)


def sac(env: Any, config: SACConfig | None = None) -> Algorithm:
    """Builds SAC for an environment.

    Args:
        env: an environment with a bounded Box or a Discrete action space.
        config: settings; default `SACConfig()`.

    Raises:
        ConfigError: a setting out of range, or a replay whose sizes do not go together.
        SpaceError: an action or observation space that SAC cannot take.
        UnknownNameError: a name in the config that no table has.
    """
    config = config or SACConfig()
    validate(config)
    check_env(env)
    replay_sizes.check(config)
    space = env.action_space(env.default_params)
    network = soft_actor_critic(env.observation_space(env.default_params), space, config)
    _check_target(config, space)
    parts = Parts(
        network=network,
        venv=vectorize(env, config.num_envs, reset=config.reset, pool_size=config.pool_size),
        layout=replay_sizes.layout_of(env, config),
        env=env,
        config=config,
    )
    return Algorithm(
        name="sac",
        env=env,
        config=config,
        init=partial(init, parts),
        collect=partial(collect, parts),
        learn=partial(learn, parts),
        act=partial(act, parts),
        value=partial(value, parts),
        steps_per_update=config.num_envs * config.num_steps,
    )


def _check_target(config: SACConfig, action_space: Any) -> None:
    """Raises `ConfigError` for an entropy that no policy has, which α would chase for ever."""
    target = config.target_entropy
    if target is None or isinstance(target, jax.core.Tracer) or not config.learn_ent_coef:
        return
    if spaces.is_discrete(action_space):
        low, high = 0.0, math.log(spaces.num_actions(action_space))
    else:
        bottom, top = spaces.bounds(action_space)
        low, high = -math.inf, float(jnp.log(top - bottom).sum())
    if not low <= target < high:
        raise ConfigError(
            f"target_entropy={target} is out of reach: needed is a number in [{low:g}, {high:g}), "
            "the entropies that a policy over these actions can have."
        )


def init(parts: Parts, key: Key, env_params: EnvParams, total_updates: Any = 0) -> OffPolicyState:
    """A fresh train state; `total_updates` is where the schedules end."""

    def network_init(key: Key) -> PyTree:
        params = parts.network.init(key)
        if not parts.config.learn_ent_coef:
            return params
        # The distance from the config's: lanes of a sweep get theirs after this, and begin there.
        return params | {"log_ent_coef_shift": jnp.float32(0)}

    return off_policy.init(parts, parts.env, key, env_params, total_updates, network_init, targets)


def targets(params: PyTree) -> PyTree:
    """What there is a target network of: the critics."""
    return params["critic"]


def act(parts: Parts, state: Any, obs: Array, key: Key, *, greedy: bool = False) -> Array:
    """The policy's action, or its mode if `greedy`, in the environment's range."""
    policy = parts.network.policy(state.params["actor"], normalise.see(state.obs_stats, obs))
    return policy.env_action(policy.mode() if greedy else policy.sample(key))


def value(parts: Parts, state: Any, obs: Array) -> Array:
    """What the lesser critic expects of the policy, for observations of any leading shape.

    Of its mode where actions are continuous. The bonus for entropy in later steps is part of it.
    """
    obs = normalise.see(state.obs_stats, obs)
    policy = parts.network.policy(state.params["actor"], obs)
    action = policy.env_action(policy.mode())
    q = parts.network.values(state.params["critic"], obs, action).min(0)
    return (jnp.exp(policy.log_probs) * q).sum(-1) if isinstance(policy, Categorical) else q


def collect(
    parts: Parts, state: OffPolicyState, record: Record = "nothing"
) -> tuple[OffPolicyState, Trajectory]:
    """Plays `num_steps` steps in all environments: at random at first, then by the policy."""

    def noise(key: Key) -> Array:
        return parts.network.noise(key, (parts.config.num_envs,))

    def policy(obs: Array, noise: Array) -> tuple[Array, None]:
        policy = parts.network.policy(state.params["actor"], normalise.see(state.obs_stats, obs))
        action = policy.env_action(policy.sample_from(noise))
        random = uniform_from(noise, parts.action_space)
        return jnp.where(off_policy.explores(state), random, action), None

    key, key_rollout = jax.random.split(state.key)
    vector, trajectory = rollout(
        parts.venv,
        state.env_params,
        state.vector,
        noise,
        policy,
        key_rollout,
        parts.config.num_steps,
        record,
    )
    return state.replace(key=key, vector=vector), trajectory


def soft_value(
    network: SoftActorCritic,
    policy: Distribution,
    critic: PyTree,
    obs: Array,
    noise: Array,
    ent_coef: Array | float,
) -> tuple[Array, Array]:
    """`E[min_i Q_i(s, a) - α log π(a|s)]` and the entropy `E[-log π(a|s)]`, each `[N]`.

    Over Discrete spaces both are exact sums, in which `log_softmax` keeps an action that is never
    taken from making 0 · ∞; else they are of one sample, which the gradient flows through.

    Args:
        network: whose critics.
        policy: a batch of policies at these observations.
        critic: the critics' parameters, or their targets'.
        obs: `[N, *O]`.
        noise: randomness of a sample of each policy.
        ent_coef: α.
    """
    if isinstance(policy, Categorical):
        q = network.values(critic, obs, None).min(0)
        probs = jnp.exp(policy.log_probs)
        entropy = policy.entropy()
        return (probs * q).sum(-1) + ent_coef * entropy, entropy
    raw_action = policy.sample_from(noise)
    q = network.values(critic, obs, policy.env_action(raw_action)).min(0)
    entropy = -policy.log_prob(raw_action)
    return q + ent_coef * entropy, entropy


def loss_fn(
    params: PyTree,
    target_params: PyTree,
    sample: Sample,
    noise: Array,
    parts: Parts,
    config: SACConfig,
) -> tuple[Array, Metrics]:
    """The losses of critics, actor and temperature, whose gradients do not mix.

    Args:
        params: `actor`, `critic`, and `log_ent_coef_shift` where the temperature is learned.
        target_params: the target critics'.
        sample: `[N, ...]`, observations normalised already.
        noise: `[N, 2, …]`, of an action at `next_obs` and of one at `obs`.
        parts: the networks.
        config: coefficients.

    Returns:
        The scalar sum, and its parts as metrics.
    """
    network = parts.network
    log_ent_coef = jnp.log(config.ent_coef) + params.get("log_ent_coef_shift", 0.0)
    ent_coef = jnp.exp(jax.lax.stop_gradient(log_ent_coef))

    next_policy = network.policy(params["actor"], sample.next_obs)
    next_value, _ = soft_value(
        network, next_policy, target_params, sample.next_obs, noise[:, 0], ent_coef
    )
    target = jax.lax.stop_gradient(sample.reward + sample.discount * next_value)
    q = network.values(params["critic"], sample.obs, sample.action)
    if q.ndim == 3:  # all actions' values, [2, N, A]
        q = objectives.chosen(q, jnp.broadcast_to(sample.action, q.shape[:2]))
    critic_loss = batch_mean(0.5 * jnp.square(q - target).sum(0), sample)

    policy = network.policy(params["actor"], sample.obs)
    critic = jax.lax.stop_gradient(params["critic"])
    soft, entropy = soft_value(network, policy, critic, sample.obs, noise[:, 1], ent_coef)
    actor_loss = -batch_mean(soft, sample)

    above = jax.lax.stop_gradient(entropy) - entropy_target(config, parts.action_space)
    ent_coef_loss = log_ent_coef * batch_mean(above, sample) if config.learn_ent_coef else 0.0
    return critic_loss + actor_loss + ent_coef_loss, {
        "loss/value": Mean.of(critic_loss),
        "loss/policy": Mean.of(actor_loss),
        "policy/entropy": Mean.of(batch_mean(entropy, sample)),
        "policy/ent_coef": Mean.of(ent_coef),
        "value/mean": Mean.of(batch_mean(q.mean(0), sample)),
    }


def entropy_target(config: SACConfig, action_space: Any) -> Array:
    """The entropy that the temperature aims at, in nats, of actions in the environment's units.

    The default for a Box is `target_entropy_per_action` a dimension for actions scaled to [-1, 1];
    in the environment's units each dimension has `log((high - low) / 2)` more.
    """
    if config.target_entropy is not None:
        return jnp.float32(config.target_entropy)
    if spaces.is_discrete(action_space):
        return config.target_entropy_ratio * jnp.log(jnp.float32(spaces.num_actions(action_space)))
    low, high = spaces.bounds(action_space)
    return (config.target_entropy_per_action + jnp.log((high - low) / 2)).sum()


def learn(
    parts: Parts, state: OffPolicyState, trajectory: Trajectory
) -> tuple[OffPolicyState, Metrics]:
    """Writes a trajectory `[T, B]` to the replay and makes the update's gradient steps."""
    config = state.config
    now = config.replace(
        learning_rate=objectives.schedule(
            "linear", config.learning_rate, config.learning_rate_final, state.progress
        )
    )

    def noise(key: Key, shape: tuple[int, ...]) -> Array:
        return parts.network.noise(key, (*shape, 2))

    return off_policy.learn(
        parts, state, trajectory, loss_fn=loss_fn, now=now, targets=targets, noise=noise
    )
