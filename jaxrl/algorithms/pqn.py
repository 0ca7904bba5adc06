"""PQN: deep Q-learning without a replay and without a target network (Gallici et al. 2024).

The pain it cures: a replay is most of DQN's memory, and its target network lags on purpose. With
many environments side by side the steps of one rollout are different enough to learn from at once,
and layer normalisation keeps Q-learning from running away (arXiv:2407.04811). What is left is an
on-policy loop like PPO's: roll out ε-greedily, compute targets once, pass over them in minibatches.

Targets are Peng's Q(λ), λ-returns of `V(s) = max_a Q(s, a)`,

    G_t = r_t + γ (1 - terminated_t) [(1 - λ_t) V(next_obs_t) + λ_t G_{t+1}]

with `λ_t = 0` at a truncation and at the rollout's last row (`returns.lambda_returns`). `next_obs`
is from before any reset, and is valued in one product for the whole rollout.

Read on from top to bottom: config, builder, init, act, collect, targets, loss, learn.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import normalise, objectives, q_learning, returns
from jaxrl.config import number, static, validate
from jaxrl.critics import QNetwork, q_network
from jaxrl.env_check import check_env
from jaxrl.minibatch import (
    as_rows,
    by_steps,
    check_minibatches,
    mean_gradient,
    minibatch_rows,
    row_weight,
    take,
    unless_empty,
)
from jaxrl.optim import adam, descend
from jaxrl.train_state import fresh
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
from jaxrl.vector import ResetPolicy, VectorEnv, vectorize


@struct.dataclass
class PQNConfig:
    """Settings of PQN. Sizes are static; floats are traced, so a sweep over them is a `vmap`.

    Defaults are those of purejaxql's `pqn_cartpole.yaml` unless said otherwise.
    """

    num_envs: int = static(32, low=1)
    """Environments side by side."""
    num_steps: int = static(64, low=1)
    """Steps of each environment per update."""
    update_epochs: int = static(4, low=1)
    """Passes over the data of one update."""
    num_minibatches: int = static(16, low=1)
    """Gradient steps per pass; must divide num_envs * num_steps."""
    learning_rate: float = number(1e-4, low=0, open_low=True)
    """Adam's step size at the first update (RAdam's in purejaxql)."""
    learning_rate_final: float | None = number(0.0, low=0)
    """Step size at the last update, reached linearly; None keeps it constant, 0 anneals."""
    gamma: float = number(0.99, low=0, high=1)
    """Discount factor."""
    q_lambda: float = number(0.95, low=0, high=1)
    """λ of the targets: 0 is one-step Q-learning, 1 bootstraps at the window's end."""
    epsilon: float = number(1.0, low=0, high=1)
    """Probability of a random action at first."""
    epsilon_final: float = number(0.2, low=0, high=1)
    """The same from exploration_fraction on, reached linearly."""
    exploration_fraction: float = number(0.5, low=0, high=1, open_low=True)
    """Share of the run after which epsilon has reached its final value."""
    max_grad_norm: float | None = number(10.0, low=0, open_low=True)
    """Largest global norm of a gradient; None leaves gradients as they are."""
    adam_eps: float = number(1e-5, low=0, open_low=True)
    """Adam's ε."""
    dueling: bool = static(False)
    """Heads of their own for the state's value and the actions' advantages."""
    normalize_obs: bool = static(False)
    """Divide observations by their running deviation, after removing the mean."""
    hidden_sizes: tuple[int, ...] = static((128, 128))
    """Widths of the hidden layers."""
    activation: str = static("relu")
    """Activation of the hidden layers."""
    layer_norm: bool = static(True)
    """Layer normalisation before each activation of the dense layers; what keeps it stable."""
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
    config: PQNConfig  # for its sizes; its numbers are read from the train state


class Batch(NamedTuple):
    """The rows a gradient step sees, `[N, ...]`; observations normalised already.

    `weight` is as in `minibatch.row_weight`.
    """

    obs: Array
    action: Array
    target: Array
    weight: Array | None


def pqn(env: Any, config: PQNConfig | None = None) -> Algorithm:
    """Builds PQN for an environment.

    Args:
        env: an environment with a Discrete action space.
        config: settings; default `PQNConfig()`.

    Raises:
        ConfigError: a setting out of range, or a batch that the minibatches do not divide.
        SpaceError: an action or observation space that PQN cannot take.
        UnknownNameError: a name in the config that no table has.
    """
    config = config or PQNConfig()
    validate(config)
    check_env(env)
    check_minibatches(config.num_envs, config.num_steps, config.num_minibatches)
    spaces = env.observation_space(env.default_params), env.action_space(env.default_params)
    parts = Parts(
        network=q_network(*spaces, config, dueling=config.dueling),
        venv=vectorize(env, config.num_envs, reset=config.reset, pool_size=config.pool_size),
        config=config,
    )
    return Algorithm(
        name="pqn",
        env=env,
        config=config,
        init=partial(init, parts),
        collect=partial(collect, parts),
        learn=partial(learn, parts),
        act=partial(q_learning.act, parts),
        value=partial(q_learning.value, parts),
        steps_per_update=config.num_envs * config.num_steps,
    )


def init(parts: Parts, key: Key, env_params: EnvParams, total_updates: Any = 0) -> TrainState:
    """A fresh train state; `total_updates` is where the schedules end."""
    config = parts.config
    key, key_params, key_env = jax.random.split(key, 3)
    params = parts.network.init(key_params)
    vector = parts.venv.reset(key_env, env_params)
    return TrainState(
        **fresh(config, key, env_params, total_updates, vector.obs.shape[1:]),
        params=params,
        opt_state=adam(config.max_grad_norm, config.adam_eps).init(params),
        vector=vector,
    )


def collect(
    parts: Parts, state: TrainState, record: Record = "nothing"
) -> tuple[TrainState, Trajectory]:
    """Plays `num_steps` steps in all environments, ε-greedily."""
    return q_learning.collect(parts, state, q_learning.at_progress(state).epsilon, record)


def make_batch(parts: Parts, state: TrainState, trajectory: Trajectory) -> Batch:
    """The Q(λ) targets of a trajectory `[T, B]`, as rows `[T * B]`; they are computed once."""
    target = returns.lambda_returns(
        trajectory.reward,
        by_steps(partial(q_learning.value, parts, state), state.params, trajectory.next_obs),
        trajectory.terminated,
        trajectory.truncated,
        gamma=state.config.gamma,
        lambda_=state.config.q_lambda,
    )
    obs = normalise.see(state.obs_stats, trajectory.obs)
    return as_rows(Batch(obs, trajectory.action, target, row_weight(trajectory)))


def loss_fn(params: PyTree, batch: Batch, parts: Parts) -> tuple[Array, Metrics]:
    """`½ E[(Q(s, a) - G)²]` over a minibatch, and what is to be shown of it."""
    q = objectives.chosen(parts.network.values(params, batch.obs), batch.action)
    loss = objectives.squared_value_loss(q, batch.target, weight=batch.weight)
    return loss, {
        "loss/value": Mean.of(loss),
        "value/mean": Mean.of(objectives.mean(q, batch.weight)),
    }


def learn(parts: Parts, state: TrainState, trajectory: Trajectory) -> tuple[TrainState, Metrics]:
    """`update_epochs` passes of minibatch descent over one trajectory `[T, B]`."""
    config, now = parts.config, q_learning.at_progress(state)
    batch = make_batch(parts, state, trajectory)
    optimizer = adam(now.max_grad_norm, now.adam_eps)
    key, key_shuffle = jax.random.split(state.key)
    minibatches = minibatch_rows(
        key_shuffle, batch.target.size, config.num_minibatches, config.update_epochs
    )

    def step(carry: tuple[PyTree, PyTree], rows: Array) -> tuple[Any, Metrics]:
        params, opt_state = carry
        minibatch = take(batch, rows)
        grads, metrics = mean_gradient(loss_fn, params, minibatch, parts)
        new = descend(optimizer, grads, opt_state, params, now.learning_rate)
        carry = unless_empty(minibatch.weight, new, carry)
        return carry, metrics | {"loss/grad_norm": Mean.of(optax.tree.norm(grads))}

    (params, opt_state), metrics = jax.lax.scan(step, (state.params, state.opt_state), minibatches)
    state = state.replace(
        key=key,
        params=params,
        opt_state=opt_state,
        # Counted only here: within an update, acting and learning must see the same.
        obs_stats=normalise.update_stats(state.obs_stats, trajectory.obs),
        update=state.update + 1,
    )
    metrics = jax.tree.map(jnp.sum, metrics) | {
        "schedule/learning_rate": Mean.of(now.learning_rate),
        "schedule/epsilon": Mean.of(now.epsilon),
    }
    return state, metrics | state.vector.episodes
