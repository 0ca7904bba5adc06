"""The words that every room shares: transitions, metrics, and the two contracts.

Shape letters, used in every docstring of the package:

====  =====================================  ====  =================================
`S`   seeds                                  `N`   rows of a minibatch
`T`   time steps of a rollout                `A`   number of discrete actions
`B`   environments side by side              `D`   size of a continuous action
`M`   finished episodes kept per update      `O`   shape of one observation
====  =====================================  ====  =================================

Arrays are time-major: a trajectory is `[T, B, ...]`. "Steps" are environment steps per seed.

There is no field called `done`. `terminated` ends the bootstrap, `terminated | truncated` cuts
the trace; a learner that mixes them up takes a time limit for a death.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import struct

Array = jax.Array
Key = jax.Array
PyTree = Any
EnvState = Any
EnvParams = Any

Record = Literal["nothing", "episode_end", "every_step"]
"""Which environment states `collect` keeps for the reward source."""


class Mean(NamedTuple):
    """A mean in the making: `total / count`. Merging two is adding them, whatever their sizes.

    A metric that had no sample (no episode ended) has `count == 0` and reads as NaN, never as 0.
    """

    total: Array
    count: Array

    @classmethod
    def of(cls, value: Any) -> Mean:
        """One sample."""
        return cls(jnp.asarray(value, jnp.float32), jnp.float32(1))

    @property
    def value(self) -> Array:
        """The mean; NaN of nothing."""
        return self.total / self.count


Metrics = dict[str, Mean]
"""What `learn` and `annotate` report, e.g. `{"loss/policy": Mean}`. The keys never change."""


class Transition(NamedTuple):
    """One step of experience; with leading axes `[T, B]` it is a trajectory.

    Attributes:
        obs: what the policy saw, `[T, B, *O]`.
        action: what the environment was given, after clipping or squashing, `[T, B, ...]`.
        reward: the environment's own until `annotate` has decided otherwise, `[T, B]`.
        terminated: the episode ended by the environment's rules, bool `[T, B]`.
        truncated: the episode was cut off by a time limit, bool `[T, B]`.
        next_obs: what the step led to, kept from before any auto-reset, `[T, B, *O]`.
        extras: what the algorithm's own `learn` needs (log-probabilities, raw actions).
        record: a `Recorded` where the reward source asked for states, else None.
        valid: bool `[T, B]`, False on rows beyond the end of a lane's episode, which hold nothing;
            None where every row is a step.
        labelled: bool `[T, B]`, False on rows whose reward is not known: not yet, where the
            algorithm has a replay, or never. None where every reward is there.
        late: `LateLabels` of rows of earlier updates, from a reward source; None for none.
    """

    obs: PyTree
    action: PyTree
    reward: Array
    terminated: Array
    truncated: Array
    next_obs: PyTree
    extras: PyTree
    record: PyTree
    valid: Array | None = None
    labelled: Array | None = None
    late: LateLabels | None = None


class LateLabels(NamedTuple):
    """Rewards that came after their rows were learned from, or not learned from; each `[M]`.

    Attributes:
        row: steps of the lane before that one, int32: `update * T + t`.
        lane: int32.
        reward: float32.
        ok: False where there is none after all; the row goes on waiting, and is never used.
    """

    row: Array
    lane: Array
    reward: Array
    ok: Array


Trajectory = Transition


class Recorded(NamedTuple):
    """Environment states kept for a reward source, each the one that a step led to.

    For `every_step` the leading axes are `[T, B]`, and `time`, `lane`, `valid` are None: the
    trajectory's own `valid` says which rows are steps. `previous` are then the states that the
    steps were taken from; where nobody reads them, the compiler does not keep them. For
    `episode_end` the leading axis is `[M]`: the last states of episodes that ended in this rollout,
    with the row `(time, lane)` each belongs to and `valid` False on unused slots.
    """

    state: EnvState
    time: Array | None
    lane: Array | None
    valid: Array | None
    previous: EnvState | None = None


class StepCount(NamedTuple):
    """Environment steps of one seed whose updates take as many as their episodes last. Scalars.

    Attributes:
        done: steps so far, uint32.
        planned: steps that `run_updates` was asked for so far, uint32; it goes on with a seed
            until `done` has reached this.
        per_update: what a plan counts as one update, the algorithm's `steps_per_update`, uint32.
        idle: the seed waits for others to reach what is planned; it then plays no episode.
    """

    done: Array
    planned: Array
    per_update: Array
    idle: Array


class PolicyState(NamedTuple):
    """The part of a train state that acting reads; what a saved policy holds."""

    params: PyTree
    obs_stats: PyTree


@struct.dataclass(kw_only=True)  # algorithms that extend it have fields without a default
class TrainState:
    """Everything that changes while training, and exactly what a checkpoint holds.

    Algorithms with more to carry (a replay, a target network) extend it by fields. The config is
    carried too, its floats as leaves, so that a sweep is one more `vmap` over train states.

    Attributes:
        params: network parameters.
        opt_state: the optimiser's state.
        vector: the environments' state (`vector.VectorState`).
        env_params: parameters of the environment.
        obs_stats: running statistics of observations, or None.
        return_stats: running statistics of discounted returns, or None.
        config: the algorithm's config, floats as float32 leaves.
        key: randomness of the next update.
        update: number of updates done, int32.
        total_updates: number of updates planned, int32; what schedules end at.
        steps: a `StepCount` where the steps of an update depend on how long episodes last; None
            where every update takes `steps_per_update`.
    """

    params: PyTree
    opt_state: PyTree
    vector: PyTree
    env_params: EnvParams
    obs_stats: PyTree
    return_stats: PyTree
    config: PyTree
    key: Key
    update: Array
    total_updates: Array
    steps: StepCount | None = None

    @property
    def progress(self) -> Array:
        """Share of the run that is done: 0 at the first update, exactly 1 at the last.

        With `steps`, where nobody knows which update will be the last, the share of its steps.
        """
        if self.steps is not None:
            total = self.steps.per_update.astype(jnp.float32) * self.total_updates
            return jnp.minimum(self.steps.done / jnp.maximum(total, 1), 1.0)
        last = jnp.maximum(self.total_updates - 1, 1)
        return self.update.astype(jnp.float32) / last.astype(jnp.float32)


class ActFn(Protocol):
    """`act(state, obs, key, *, greedy=False) -> action`, for observations of any leading shape.

    `state` is a `TrainState` or a `PolicyState`: acting reads `params` and `obs_stats` alone.
    The action is the environment's: clipped or squashed into its space.
    """

    def __call__(self, state: Any, obs: PyTree, key: Key, *, greedy: bool = False) -> PyTree:
        """The action for each observation."""
        ...


class Algorithm(NamedTuple):
    """An estimator as pure functions, for one seed; `train` vmaps them over seeds.

    `learn ∘ annotate ∘ collect` is one update. The reward is decided between collecting and
    learning, by a `RewardSource` that the algorithm never sees.

    Attributes:
        name: the name in `jaxrl.algorithms.ALGORITHMS` and in run folders.
        env: the environment it was built for.
        config: its config, as given.
        init: `(key, env_params, total_updates) -> TrainState`. `total_updates` is where the
            schedules end.
        collect: `(state, record) -> (state, Trajectory)`.
        learn: `(state, Trajectory) -> (state, Metrics)`.
        act: see `ActFn`.
        value: `(state, obs) -> [...]`, what the critic expects of observations of any leading
            shape; None where an algorithm has no critic.
        steps_per_update: environment steps per seed and update. Where updates play whole episodes,
            the least that one can take: the unit in which a run is planned (see `StepCount`).
    """

    name: str
    env: Any
    config: Any
    init: Callable[[Key, EnvParams, Any], Any]
    collect: Callable[[Any, Record], tuple[Any, Trajectory]]
    learn: Callable[[Any, Trajectory], tuple[Any, Metrics]]
    act: ActFn
    value: Callable[[Any, PyTree], Array] | None
    steps_per_update: int


class RewardSource(NamedTuple):
    """Decides the reward of a trajectory, for all seeds in one call and outside their `vmap`.

    Attributes:
        name: shown in logs and run folders.
        init: `(key) -> RewardState`, a pytree (may be empty).
        annotate: `(RewardState, Trajectory [S, T, B, ...]) -> (RewardState, Trajectory,
            Metrics)`; metrics have a leading `[S]`. May make host callbacks, and then says so in
            `on_host`: it is called once per update, for all seeds together.
        needs: which environment states `collect` must keep for it.
        listener: hears of the run as any `records.Callback` does, and may stop it; None for a
            source that lives on the device alone.
        on_host: whether `annotate` makes host callbacks. Such a run has one device: others would
            wait for it in a collective, which XLA ends, and the process with it, after a while.
        prepare: `(RewardState, Trajectory [S, T, B, ...] of shapes) -> RewardState`, called once
            before the first update by a source whose state depends on how much an update brings;
            may refuse it. None for others.
        late_by: updates by which labels may come late, in `Transition.late`; such a source needs
            an algorithm with a replay.
    """

    name: str
    init: Callable[[Key], PyTree]
    annotate: Callable[[PyTree, Trajectory], tuple[PyTree, Trajectory, Metrics]]
    needs: Record
    listener: Any = None
    prepare: Callable[[PyTree, Trajectory], PyTree] | None = None
    late_by: int = 0
    on_host: bool = False
