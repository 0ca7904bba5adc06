"""Deep Q-networks (Mnih et al. 2015), with what has been found to matter since.

The pain it cures: an on-policy estimator throws its data away after one update. Q-learning's target

    y = r + γ max_a Q'(s', a)

holds whatever policy acted, so that a step can be learned from many times, out of a replay. Two
things keep it from running away: samples are drawn at random, so that neighbours do not pull in one
direction, and the target is computed with parameters that follow slowly, Q'.

On top, each behind its own flag: the action of the target is chosen by Q and valued by Q' (double,
van Hasselt et al. 2016, arXiv:1509.06461), value and advantages have heads of their own (dueling,
Wang et al. 2016, arXiv:1511.06581), targets look `n_step` steps ahead, and large errors pull no
harder than errors of 1 (Huber).

Read on from top to bottom: config, builder, init, act, collect, loss, learn. The replay and the
loop over gradient steps are those of every off-policy estimator (`jaxrl.off_policy`).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl import objectives, off_policy, q_learning, replay_sizes
from jaxrl.config import number, static, validate
from jaxrl.critics import QNetwork, q_network
from jaxrl.env_check import check_env
from jaxrl.off_policy import OffPolicyState, batch_mean
from jaxrl.replay import Layout, Sample
from jaxrl.types import Algorithm, Array, EnvParams, Key, Mean, Metrics, PyTree, Record, Trajectory
from jaxrl.vector import ResetPolicy, VectorEnv, vectorize


@struct.dataclass
class DQNConfig:
    """Settings of DQN. Sizes are static; floats are traced, so a sweep over them is a `vmap`.

    Defaults are those of CleanRL's `dqn.py` unless said otherwise.
    """

    num_envs: int = static(10, low=1)
    """Environments side by side; CleanRL's one, at the same gradient steps (PureJaxRL's ten)."""
    num_steps: int = static(1, low=1)
    """Steps of each environment per update."""
    buffer_size: int = static(10_000, low=1)
    """Transitions that the replay keeps."""
    batch_size: int = static(128, low=1)
    """Transitions of a gradient step."""
    replay_ratio: float = static(0.1, low=0)
    """Gradient steps per environment step; a whole number of them must come out for an update."""
    learning_starts: int = static(10_000, low=0)
    """Steps of random actions before the first gradient step."""
    store_obs_as: Literal["same", "bool", "uint8"] = static("same")
    """Type of stored observations: their own, or a smaller one that holds their values."""
    learning_rate: float = number(2.5e-4, low=0, open_low=True)
    """Adam's step size at the first update."""
    learning_rate_final: float | None = number(None, low=0)
    """Step size at the last update, reached linearly; None keeps it constant, 0 anneals."""
    gamma: float = number(0.99, low=0, high=1)
    """Discount factor."""
    n_step: int = static(1, low=1)
    """Steps that a target looks ahead before it bootstraps."""
    double: bool = static(True)
    """Choose the target's action by the learning network (off in CleanRL)."""
    dueling: bool = static(False)
    """Heads of their own for the state's value and the actions' advantages."""
    loss: Literal["huber", "squared"] = static("huber")
    """Loss of an error: huber is Mnih et al.'s clipped one; CleanRL squares."""
    target_period: int = static(50, low=1)
    """Gradient steps between two moves of the target network."""
    tau: float = number(1.0, low=0, high=1, open_low=True)
    """Share of the way that the target network then moves; 1 copies."""
    epsilon: float = number(1.0, low=0, high=1)
    """Probability of a random action at first."""
    epsilon_final: float = number(0.05, low=0, high=1)
    """The same from exploration_fraction on, reached linearly."""
    exploration_fraction: float = number(0.5, low=0, high=1, open_low=True)
    """Share of the run after which epsilon has reached its final value."""
    max_grad_norm: float | None = number(10.0, low=0, open_low=True)
    """Largest global norm of a gradient (Stable-Baselines3's); None leaves them as they are."""
    adam_eps: float = number(1e-8, low=0, open_low=True)
    """Adam's ε."""
    normalize_obs: bool = static(False)
    """Divide observations by their running deviation, after removing the mean."""
    hidden_sizes: tuple[int, ...] = static((120, 84))
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

    network: QNetwork
    venv: VectorEnv
    layout: Layout
    env: Any
    config: DQNConfig  # for its sizes; its numbers are read from the train state


def dqn(env: Any, config: DQNConfig | None = None) -> Algorithm:
    """Builds DQN for an environment.

    Args:
        env: an environment with a Discrete action space.
        config: settings; default `DQNConfig()`.

    Raises:
        ConfigError: a setting out of range, or a replay whose sizes do not go together.
        SpaceError: an action or observation space that DQN cannot take.
        UnknownNameError: a name in the config that no table has.
    """
    config = config or DQNConfig()
    validate(config)
    check_env(env)
    replay_sizes.check(config, n_step=config.n_step)
    spaces = env.observation_space(env.default_params), env.action_space(env.default_params)
    parts = Parts(
        network=q_network(*spaces, config, dueling=config.dueling),
        venv=vectorize(env, config.num_envs, reset=config.reset, pool_size=config.pool_size),
        layout=replay_sizes.layout_of(env, config),
        env=env,
        config=config,
    )
    return Algorithm(
        name="dqn",
        env=env,
        config=config,
        init=partial(init, parts),
        collect=partial(collect, parts),
        learn=partial(learn, parts),
        act=partial(q_learning.act, parts),
        value=partial(q_learning.value, parts),
        steps_per_update=config.num_envs * config.num_steps,
    )


def init(parts: Parts, key: Key, env_params: EnvParams, total_updates: Any = 0) -> OffPolicyState:
    """A fresh train state; `total_updates` is where the schedules end."""
    return off_policy.init(
        parts,
        parts.env,
        key,
        env_params,
        total_updates,
        parts.network.init,
        targets,
        n_step=parts.config.n_step,
    )


def targets(params: PyTree) -> PyTree:
    """What there is a target network of: everything."""
    return params


def collect(
    parts: Parts, state: OffPolicyState, record: Record = "nothing"
) -> tuple[OffPolicyState, Trajectory]:
    """Plays `num_steps` steps in all environments, ε-greedily."""
    return q_learning.collect(parts, state, at_progress(state).epsilon, record)


def loss_fn(
    params: PyTree,
    target_params: PyTree,
    sample: Sample,
    noise: None,
    parts: Parts,
    config: DQNConfig,
) -> tuple[Array, Metrics]:
    """The mean loss of `Q(s, a) - y` over a batch.

    `y = R + discount · Q'(s', argmax_a Q(s', a))`, or the maximum of Q' itself without `double`.

    Args:
        params: the learning network's.
        target_params: the target network's.
        sample: `[N, ...]`, observations normalised already.
        noise: none is needed.
        parts: the network.
        config: for its switches.

    Returns:
        The scalar loss, and what is to be shown of it.
    """
    del noise
    q = objectives.chosen(parts.network.values(params, sample.obs), sample.action)
    next_q = parts.network.values(target_params, sample.next_obs)
    selector = parts.network.values(params, sample.next_obs) if config.double else None
    target = objectives.q_target(sample.reward, sample.discount, next_q, selector)
    error = q - jax.lax.stop_gradient(target)
    per_row = objectives.huber(error) if config.loss == "huber" else jnp.square(error)
    loss = batch_mean(per_row, sample)
    return loss, {
        "loss/value": Mean.of(loss),
        "value/mean": Mean.of(batch_mean(q, sample)),
        "value/abs_error": Mean.of(batch_mean(jnp.abs(error), sample)),
    }


def learn(
    parts: Parts, state: OffPolicyState, trajectory: Trajectory
) -> tuple[OffPolicyState, Metrics]:
    """Writes a trajectory `[T, B]` to the replay and makes the update's gradient steps."""
    now = at_progress(state)
    state, metrics = off_policy.learn(
        parts,
        state,
        trajectory,
        loss_fn=loss_fn,
        now=now,
        targets=targets,
        noise=lambda key, shape: None,
        n_step=parts.config.n_step,
    )
    return state, metrics | {"schedule/epsilon": Mean.of(now.epsilon)}


def at_progress(state: OffPolicyState) -> DQNConfig:
    """The config with its schedules evaluated; ε is 1 until learning starts."""
    now = q_learning.at_progress(state)
    return now.replace(epsilon=jnp.where(off_policy.explores(state), 1.0, now.epsilon))
