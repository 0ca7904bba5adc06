"""Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347).

The pain it cures: a policy-gradient step is only right near the policy that collected the data,
and TRPO's cure, a trust region, costs second derivatives. PPO keeps the data for several epochs
and clips the objective wherever the new policy has left the old one by more than `clip_eps`:

    L(θ) = E[ min(r A, clip(r, 1-ε, 1+ε) A) ],    r = π_θ(a|s) / π_old(a|s)

Read on from top to bottom: config, collect, loss, learn, act. `PPOConfig.notes()` is the
objective alone; the defaults add what practice has found to matter (Andrychowicz et al. 2021,
Engstrom et al. 2020), each behind its own flag.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import normalise, objectives, returns
from jaxrl.config import as_arrays, number, static, validate
from jaxrl.minibatch import as_rows, check_minibatches, minibatch_rows, take
from jaxrl.networks import ActorCritic, actor_critic
from jaxrl.optim import adam, descend
from jaxrl.types import (
    Algorithm,
    Array,
    EnvParams,
    Key,
    Mean,
    Metrics,
    PyTree,
    Record,
    TrainState,
    Trajectory,
)
from jaxrl.vector import ResetPolicy, VectorEnv, rollout, vectorize

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
    clip_eps: float = number(0.2, low=0, open_low=True)
    """Half width of the interval in which the ratio counts (the notes' ε)."""
    clip_eps_final: float | None = number(None, low=0)
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
    ent_coef_decay_fraction: float = number(1.0, low=0, high=1, open_low=True)
    """Share of the run after which ent_coef has reached its final value."""
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
        """The lecture notes' §6: the clipped objective on one network's worth of advantages.

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


class Extras(NamedTuple):
    """What PPO keeps of each step: the action as sampled, and its log-probability, `[T, B]`."""

    raw_action: Array
    log_prob: Array


class Batch(NamedTuple):
    """The rows a gradient step sees, `[N, ...]`."""

    obs: Array
    raw_action: Array
    log_prob: Array
    value: Array
    advantage: Array
    target: Array


def clipped(log_ratio: Array, advantage: Array, config: PPOConfig) -> Array:
    """PPO's own surrogate; see `objectives.clipped_surrogate`."""
    return objectives.clipped_surrogate(log_ratio, advantage, config.clip_eps)


def ppo(env: Any, config: PPOConfig | None = None, *, surrogate: Surrogate = clipped) -> Algorithm:
    """Builds PPO for an environment.

    Args:
        env: an environment with a Discrete or a Box action space.
        config: settings; default `PPOConfig()`.
        surrogate: the policy's objective, per sample.

    Raises:
        ConfigError: a setting out of range, or a batch that the minibatches do not divide.
        SpaceError: an action or observation space that PPO cannot take.
    """
    config = config or PPOConfig()
    validate(config)
    objectives.check_schedule(
        "ent_coef", config.ent_coef_decay, config.ent_coef, config.ent_coef_final
    )
    check_minibatches(config.num_envs, config.num_steps, config.num_minibatches)
    network = actor_critic(
        env.observation_space(env.default_params),
        env.action_space(env.default_params),
        torso=config.torso,
        hidden_sizes=config.hidden_sizes,
        activation=config.activation,
        shared_torso=config.shared_torso,
        squash=config.squash,
    )
    venv = vectorize(env, config.num_envs, reset=config.reset, pool_size=config.pool_size)
    parts = Parts(network, venv, surrogate, config)
    return Algorithm(
        name="ppo",
        env=env,
        config=config,
        init=partial(init, parts),
        collect=partial(collect, parts),
        learn=partial(learn, parts),
        act=partial(act, parts),
        value=partial(value, parts),
        steps_per_update=config.num_envs * config.num_steps,
    )


def init(parts: Parts, key: Key, env_params: EnvParams, total_updates: Any = 0) -> TrainState:
    """A fresh train state; `total_updates` is where the schedules end."""
    key, key_params, key_env = jax.random.split(key, 3)
    config = parts.config
    params = parts.network.init(key_params)
    vector = parts.venv.reset(key_env, env_params)
    return TrainState(
        params=params,
        opt_state=adam(config.max_grad_norm, config.adam_eps).init(params),
        vector=vector,
        env_params=env_params,
        obs_stats=normalise.init_stats(vector.obs.shape[1:]) if config.normalize_obs else None,
        return_stats=(
            normalise.init_return_stats(config.num_envs) if config.normalize_reward else None
        ),
        config=as_arrays(config),
        key=key,
        update=jnp.int32(0),
        total_updates=jnp.int32(total_updates),
    )


def act(parts: Parts, state: Any, obs: Array, key: Key, *, greedy: bool = False) -> Array:
    """The policy's action, or its mode if `greedy`, in the environment's range."""
    policy = parts.network.policy(state.params, normalise.see(state.obs_stats, obs))
    return policy.env_action(policy.mode() if greedy else policy.sample(key))


def value(parts: Parts, state: Any, obs: Array) -> Array:
    """The critic's value of observations of any leading shape."""
    return parts.network.value(state.params, normalise.see(state.obs_stats, obs))


def collect(
    parts: Parts, state: TrainState, record: Record = "nothing"
) -> tuple[TrainState, Trajectory]:
    """Plays `num_steps` steps in all environments with the policy as it is."""

    def noise(key: Key) -> Array:
        return parts.network.noise(key, (parts.config.num_envs,))

    def policy(obs: Array, noise: Array) -> tuple[Array, Extras]:
        distribution = parts.network.policy(state.params, normalise.see(state.obs_stats, obs))
        raw_action = distribution.sample_from(noise)
        log_prob = distribution.log_prob(raw_action)
        return distribution.env_action(raw_action), Extras(raw_action, log_prob)

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


def make_batch(parts: Parts, state: TrainState, trajectory: Trajectory) -> Batch:
    """Advantages and targets of a trajectory `[T, B]`, as rows `[T * B]`.

    Values are computed here, for all steps at once, and not while collecting: one large product
    instead of `T` small ones. `next_obs` is from before any reset, so that a time limit
    bootstraps from the state it cut off.
    """
    values = value(parts, state, trajectory.obs)
    advantage = returns.gae(
        normalise.scale_reward(trajectory.reward, state.return_stats),
        values,
        value(parts, state, trajectory.next_obs),
        trajectory.terminated,
        trajectory.truncated,
        gamma=state.config.gamma,
        gae_lambda=state.config.gae_lambda,
    )
    obs = normalise.see(state.obs_stats, trajectory.obs)
    extras: Extras = trajectory.extras
    batch = Batch(obs, extras.raw_action, extras.log_prob, values, advantage, advantage + values)
    return as_rows(batch)


def loss_fn(params: PyTree, batch: Batch, parts: Parts, config: PPOConfig) -> tuple[Array, Metrics]:
    """PPO's loss on one minibatch.

    `-E[surrogate] + vf_coef · ½E[(V - target)²] - ent_coef · E[H]`, arXiv:1707.06347 (9).

    Args:
        params: the network's parameters.
        batch: rows `[N, ...]`.
        parts: network and surrogate.
        config: coefficients, schedules already applied.

    Returns:
        The scalar loss, and its parts as metrics.
    """
    policy = parts.network.policy(params, batch.obs)
    value = parts.network.value(params, batch.obs)
    log_ratio = policy.log_prob(batch.raw_action) - batch.log_prob
    advantage = batch.advantage
    if config.normalize_advantage:
        advantage = objectives.normalize_advantage(advantage)

    policy_loss = -parts.surrogate(log_ratio, advantage, config).mean()
    if config.clip_eps_vf is None:
        value_loss = objectives.squared_value_loss(value, batch.target)
    else:
        value_loss = objectives.clipped_value_loss(
            value, batch.value, batch.target, config.clip_eps_vf
        )
    entropy = policy.entropy().mean()
    loss = policy_loss + config.vf_coef * value_loss - config.ent_coef * entropy
    return loss, {
        "loss/total": Mean.of(loss),
        "loss/policy": Mean.of(policy_loss),
        "loss/value": Mean.of(value_loss),
        "policy/entropy": Mean.of(entropy),
        "policy/approx_kl": Mean.of(objectives.approx_kl(log_ratio)),
        "policy/clip_fraction": Mean.of(objectives.clip_fraction(log_ratio, config.clip_eps)),
    }


def learn(parts: Parts, state: TrainState, trajectory: Trajectory) -> tuple[TrainState, Metrics]:
    """`update_epochs` passes of minibatch descent over one trajectory `[T, B]`."""
    state = state.replace(
        return_stats=normalise.update_return_stats(
            state.return_stats, trajectory, state.config.gamma
        )
    )
    batch = make_batch(parts, state, trajectory)
    now = at_progress(state.config, state.progress)
    optimizer = adam(now.max_grad_norm, now.adam_eps)
    key, key_shuffle = jax.random.split(state.key)
    minibatches = minibatch_rows(
        key_shuffle, batch.target.size, parts.config.num_minibatches, parts.config.update_epochs
    )

    def step(carry: tuple[PyTree, PyTree, Array], rows: Array) -> tuple[Any, Metrics]:
        params, opt_state, stopped = carry
        grads, metrics = jax.grad(loss_fn, has_aux=True)(params, take(batch, rows), parts, now)
        new = descend(optimizer, grads, opt_state, params, now.learning_rate)
        if now.target_kl is not None:
            stopped |= metrics["policy/approx_kl"].total > now.target_kl
            new = optax.tree.where(stopped, (params, opt_state), new)
        return (*new, stopped), metrics | {"loss/grad_norm": Mean.of(optax.tree.norm(grads))}

    (params, opt_state, _), metrics = jax.lax.scan(
        step, (state.params, state.opt_state, jnp.bool_(False)), minibatches
    )
    metrics = jax.tree.map(jnp.sum, metrics) | {
        "value/explained_variance": Mean.of(
            objectives.explained_variance(batch.value, batch.target)
        ),
        "schedule/learning_rate": Mean.of(now.learning_rate),
        "schedule/ent_coef": Mean.of(now.ent_coef),
    }
    state = state.replace(
        params=params,
        opt_state=opt_state,
        # Only now: within an update, acting and learning must see the same observations.
        obs_stats=normalise.update_stats(state.obs_stats, trajectory.obs),
        key=key,
        update=state.update + 1,
    )
    return state, metrics | state.vector.episodes


def at_progress(config: PPOConfig, progress: Array) -> PPOConfig:
    """The config with its schedules evaluated at `progress` in [0, 1]."""
    return config.replace(
        learning_rate=objectives.schedule(
            "linear", config.learning_rate, config.learning_rate_final, progress
        ),
        clip_eps=objectives.schedule("linear", config.clip_eps, config.clip_eps_final, progress),
        ent_coef=objectives.schedule(
            config.ent_coef_decay,
            config.ent_coef,
            config.ent_coef_final,
            progress,
            config.ent_coef_decay_fraction,
        ),
    )
