"""The host's records of a run, and the protocol of those who listen to it.

Everything here is plain Python and numpy; nothing is traced.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import numpy as np


@dataclasses.dataclass(frozen=True)
class EvalSummary:
    """The evaluation of all seeds at one moment, on the environment's native reward.

    Attributes:
        returns: `[S, E]` undiscounted return of each evaluation episode.
        lengths: `[S, E]` steps of each.
        finished: `[S, E]` False where `max_steps` came before the episode's end.
        greedy: whether the policy's mode was played.
    """

    returns: np.ndarray
    lengths: np.ndarray
    finished: np.ndarray
    greedy: bool

    @property
    def per_seed(self) -> np.ndarray:
        """`[S]` mean return of each seed."""
        return self.returns.mean(axis=1)


@dataclasses.dataclass(frozen=True)
class LogPoint:
    """One line of `metrics.jsonl`.

    Attributes:
        step: environment steps per seed so far. Where updates play whole episodes, those planned
            for this point; `time/steps` among the metrics are those done, up to an update more.
        update: updates so far.
        metrics: name to `[S]` values since the last point; NaN where nothing was counted. The
            same names at every point of a run. `eval/return` is there at points that evaluated
            and NaN elsewhere.
        timing: `time/steps_per_second` (all seeds together, training only), and the run's
            `time/train_seconds` and `time/eval_seconds` so far and `time/compile_seconds`: floats.
        evaluation: the evaluation made at this point, or None.
    """

    step: int
    update: int
    metrics: dict[str, np.ndarray]
    timing: dict[str, float]
    evaluation: EvalSummary | None = None


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """What is known of a run before its first update.

    Attributes:
        env_name: as given to `make`, or the environment's own name.
        algorithm: the `jaxrl.types.Algorithm`.
        env_params: parameters of the environment.
        reward_name: name of the reward source.
        seeds: the seed of each lane of the seed axis.
        total_steps: environment steps per seed, rounded up to whole updates.
        total_updates: updates in all.
        settings: the other arguments of `train`, JSON-able.
        labels: for a sweep, one dict of swept values per lane; else empty.
        env_arguments: what `make` gave the environment's factory beside its parameters.
        replay_bytes: memory that the replays of all seeds will take; 0 without one.
    """

    env_name: str
    algorithm: Any
    env_params: Any
    reward_name: str
    seeds: tuple[int, ...]
    total_steps: int
    total_updates: int
    settings: dict[str, Any]
    labels: tuple[dict[str, Any], ...] = ()
    env_arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    replay_bytes: int = 0


@dataclasses.dataclass
class TrainResult:
    """What `train` returns, and what `result.json` is written from.

    Attributes:
        info: the run's description.
        history: the log points, in order.
        state: the final train states, leading axis `[S]`.
        final: the last evaluation, or None if there was none.
        steps_to_threshold: per seed, the steps at the first evaluation that reached the
            threshold, else None.
        stopped_early: a callback asked to stop.
        train_seconds: training without compiling and evaluating, before a resume included.
        compile_seconds, wall_seconds: of this process.
        steps_per_second: all seeds together, training only.
        peak_memory_bytes: largest memory in use (device memory where the backend tells it, else
            the process's peak resident size).
        notes: what listeners add to `result.json`, by their name (a model's cost).
        diverged: per seed, the update (from 1) after which its numbers were no longer finite, else
            None; only a run that was told to mark them has any.
    """

    info: RunInfo
    history: list[LogPoint]
    state: Any
    final: EvalSummary | None
    steps_to_threshold: tuple[int | None, ...]
    stopped_early: bool
    train_seconds: float
    compile_seconds: float
    wall_seconds: float
    steps_per_second: float
    peak_memory_bytes: int
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)
    diverged: tuple[int | None, ...] = ()

    @property
    def best(self) -> np.ndarray:
        """`[S]` mean return of each seed's best evaluation; of many noisy ones, an optimist."""
        evaluations = [p.evaluation.per_seed for p in self.history if p.evaluation is not None]
        return np.max(evaluations, axis=0, initial=-np.inf)


class Callback(Protocol):
    """One who listens to a run. Called on the host, between compiled chunks, never from inside."""

    def on_start(self, info: RunInfo) -> None:
        """Once, before compiling."""

    def on_log(self, point: LogPoint) -> bool | None:
        """At every log point. Returning True stops the run after this point."""

    def on_checkpoint(self, update: int, state: Any, point: LogPoint) -> None:
        """At every checkpoint, with `{"train": states [S], "reward": reward state}`.

        The state is on the device and must be copied before returning: the next chunk takes
        its memory.
        """

    def on_end(self, result: TrainResult) -> None:
        """Once, after the last update or an early stop; not after an exception."""
