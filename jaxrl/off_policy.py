"""What estimators that learn from a replay share: starting, writing, gradient steps.

An update steps every environment `num_steps` times, writes that to the replay, and makes
`replay_ratio` gradient steps for each environment step on samples from it. DQN and SAC differ in
how they act and in their loss, which is an argument of `learn`.

Nothing here branches on the values of one seed: under the `vmap` over seeds a branch would run
both ways, and copy the replay. Before learning begins in any seed no gradient step is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.custom_batching import custom_vmap

from jaxrl import normalise, objectives, replay, spaces
from jaxrl.optim import adam, descend, polyak
from jaxrl.replay import Layout, Replay, Sample
from jaxrl.replay_sizes import check_length, first_update, gradient_steps
from jaxrl.train_state import fresh
from jaxrl.types import Array, EnvParams, Key, Mean, Metrics, PyTree, TrainState, Trajectory
from jaxrl.vector import VectorEnv

LossFn = Callable[..., tuple[Array, Metrics]]
"""`(params, target_params, sample, noise, parts, config) -> (loss, metrics)`, on one batch."""


class Parts(Protocol):
    """What the functions are built from; fixed before anything is traced."""

    @property
    def venv(self) -> VectorEnv:
        """The batch of environments."""
        ...

    @property
    def layout(self) -> Layout:
        """The sizes of the replay."""
        ...

    @property
    def config(self) -> Any:
        """The algorithm's config, for its sizes; its numbers are read from the train state."""
        ...


@struct.dataclass
class OffPolicyState(TrainState):
    """The train state of an estimator with a replay.

    Attributes:
        target_params: parameters that targets are computed with.
        replay: what was experienced.
    """

    target_params: PyTree
    replay: Replay


class Learner(NamedTuple):
    """What a gradient step changes; fields as in the train state."""

    params: PyTree
    opt_state: PyTree
    target_params: PyTree


def init(
    parts: Parts,
    env: Any,
    key: Key,
    env_params: EnvParams,
    total_updates: Any,
    network_init: Callable[[Key], PyTree],
    targets: Callable[[PyTree], PyTree],
    *,
    n_step: int = 1,
) -> OffPolicyState:
    """A fresh train state.

    Args:
        parts: what the algorithm is built from.
        env: the environment.
        key: randomness.
        env_params: parameters of the environment.
        total_updates: where the schedules end; 0 where no run is planned.
        network_init: `key -> params`.
        targets: what of the parameters there is a target of.
        n_step: steps of a sample's window.

    Raises:
        ConfigError: learning would begin after the run's end.
    """
    config = parts.config
    check_length(config, total_updates, n_step)
    key, key_params, key_env = jax.random.split(key, 3)
    params = network_init(key_params)
    vector = parts.venv.reset(key_env, env_params)
    return OffPolicyState(
        **fresh(config, key, env_params, total_updates, vector.obs.shape[1:]),
        params=params,
        opt_state=adam(config.max_grad_norm, config.adam_eps).init(params),
        vector=vector,
        # A copy: one buffer must not be donated twice.
        target_params=jax.tree.map(jnp.copy, targets(params)),
        replay=replay.empty(parts.layout, vector.obs, _like_actions(env, config.num_envs)),
    )


def _like_actions(env: Any, num_envs: int) -> jax.ShapeDtypeStruct:
    """Shape and type in which a step's actions are stored."""
    space = env.action_space(env.default_params)
    if spaces.is_discrete(space):
        return jax.ShapeDtypeStruct((num_envs,), replay.action_dtype(spaces.num_actions(space)))
    return jax.ShapeDtypeStruct((num_envs, *space.shape), jnp.float32)


def explores(state: OffPolicyState) -> Array:
    """Whether the state's update still acts at random, because learning has not begun."""
    return state.update < first_update(state.config)


def learn(
    parts: Parts,
    state: OffPolicyState,
    trajectory: Trajectory,
    *,
    loss_fn: LossFn,
    now: Any,
    targets: Callable[[PyTree], PyTree],
    noise: Callable[[Key, tuple[int, ...]], PyTree],
    n_step: int = 1,
) -> tuple[OffPolicyState, Metrics]:
    """Writes a trajectory `[T, B]` to the replay and makes the update's gradient steps.

    What they learn from is drawn at once, for the replay does not change between them. Each gathers
    its own rows in the body of a loop whose length XLA does not know: it then has the buffer whole
    and finished before the first gather, and does not copy it to read what was there before the
    write. The loop is empty while no seed has begun to learn.

    Args:
        parts: what the algorithm is built from.
        state: the train state after collecting.
        trajectory: `[T, B, ...]`, its rewards decided.
        loss_fn: see `LossFn`.
        now: the config with its schedules evaluated.
        targets: what of the parameters there is a target of.
        noise: `(key, [G, N]) -> noise [G, N, ...]`, the loss's randomness.
        n_step: steps of a sample's window.
    """
    config = parts.config
    key, key_sample, key_noise = jax.random.split(state.key, 3)
    buffer = replay.write(state.replay, trajectory, state.vector.obs)
    if trajectory.late is not None:
        buffer = replay.relabel(buffer, *trajectory.late)
    num_steps = gradient_steps(config)
    shape = (num_steps, config.batch_size)
    row, lane = replay.draw(buffer, key_sample, shape, n_step)
    noises = noise(key_noise, shape)
    begun = (state.update >= first_update(config)) & (buffer.stored >= n_step)

    def step(i: Any, learner: Learner) -> tuple[Learner, Metrics]:
        sample = replay.gather(buffer, row[i], lane[i], now.gamma, n_step)
        sample = sample._replace(
            obs=normalise.see(state.obs_stats, sample.obs),
            next_obs=normalise.see(state.obs_stats, sample.next_obs),
        )
        number = state.update * num_steps + i + 1
        drawn = jax.tree.map(lambda x: x[i], noises)
        new, metrics = _gradient_step(parts, learner, sample, drawn, number, loss_fn, now, targets)
        # A batch without a label teaches nothing, not even Adam's momentum.
        taken = begun & (sample.weight.sum() > 0)
        metrics = jax.tree.map(lambda x: jnp.where(taken, x, 0.0), metrics)
        metrics |= {"replay/usable": Mean.of(sample.weight.mean())}
        return optax.tree.where(taken, new, learner), metrics

    learner = Learner(state.params, state.opt_state, state.target_params)
    learner, metrics = _repeat(step, jnp.where(of_any_seed(begun), num_steps, 0), learner)
    state = state.replace(
        key=key,
        params=learner.params,
        opt_state=learner.opt_state,
        target_params=learner.target_params,
        replay=buffer,
        # Counted only here: within an update, acting and learning must see the same.
        obs_stats=normalise.update_stats(state.obs_stats, trajectory.obs),
        update=state.update + 1,
    )
    metrics |= {"schedule/learning_rate": Mean.of(now.learning_rate)}
    return state, metrics | state.vector.episodes


def _gradient_step(
    parts: Parts,
    learner: Learner,
    sample: Sample,
    noise: PyTree,
    number: Array,
    loss_fn: LossFn,
    now: Any,
    targets: Callable[[PyTree], PyTree],
) -> tuple[Learner, Metrics]:
    """One step on a sample `[N, ...]`; `number` is counted from 1, for the target's period."""
    optimizer = adam(now.max_grad_norm, now.adam_eps)
    params, opt_state, target = learner
    grads, metrics = jax.grad(loss_fn, has_aux=True)(params, target, sample, noise, parts, now)
    params, opt_state = descend(optimizer, grads, opt_state, params, now.learning_rate)
    moved = polyak(target, targets(params), now.tau)
    target = optax.tree.where(number % parts.config.target_period == 0, moved, target)
    return Learner(params, opt_state, target), metrics | {
        "loss/grad_norm": Mean.of(optax.tree.norm(grads))
    }


def _repeat(
    step: Callable[[Any, Learner], tuple[Learner, Metrics]], length: Array, learner: Learner
) -> tuple[Learner, Metrics]:
    """`step(i, learner)` for `i` below a traced `length`, and the sum of what the steps told."""
    told = jax.eval_shape(step, 0, learner)[1]
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), told)

    def body(i: Array, loop: tuple[Learner, Metrics]) -> tuple[Learner, Metrics]:
        learner, metrics = step(i, loop[0])
        return learner, jax.tree.map(jnp.add, loop[1], metrics)

    return jax.lax.fori_loop(0, length, body, (learner, zeros))


@custom_vmap
def of_any_seed(x: Array) -> Array:
    """The bool itself, a scalar, and under a `vmap` whether any is True: the same for all seeds.

    The length of a loop by it has no axis of seeds, with which the loop would choose between its
    old and new state for each seed at every step.
    """
    return x


@of_any_seed.def_vmap
def _of_any_seed_under_vmap(axis_size: int, in_batched: list[bool], x: Array) -> tuple[Array, bool]:
    del axis_size
    return of_any_seed(x.any(axis=0) if in_batched[0] else x), False


def batch_mean(x: Array, sample: Sample) -> Array:
    """The mean over a batch `[N]` of those rows that may be learned from. Scalar."""
    return objectives.weighted_mean(x, sample.weight)
