"""The host's side of a run: it calls chunk after chunk, and between them does what the plan says.

A chunk is a call of a compiled program on all seeds. Between chunks come evaluations, log points,
checkpoints and early stops; the listeners (`records.Callback`) hear of them.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxrl.errors import DivergedError
from jaxrl.evaluation import evaluation_key, summarize
from jaxrl.plan import Plan
from jaxrl.programs import Programs
from jaxrl.records import Callback, EvalSummary, LogPoint, RunInfo, TrainResult
from jaxrl.run.machine import peak_memory_bytes
from jaxrl.update import NEVER, Carry, ChunkReport


class HostLoop:
    """One run between its first chunk and its result."""

    def __init__(
        self,
        info: RunInfo,
        plan: Plan,
        programs: Programs,
        listeners: Sequence[Callback],
        started: float,
        on_divergence: str,
    ) -> None:
        """A run that has not begun.

        Args:
            info: what the run is.
            plan: what it does when.
            programs: what it calls.
            listeners: who hears of it, in this order.
            started: `time.perf_counter()` when it was asked for.
            on_divergence: see `training.train`.
        """
        self.info, self.plan, self.programs = info, plan, programs
        self.listeners, self.started = listeners, started
        self.on_divergence = on_divergence
        self.first_bad = np.full(len(info.seeds), NEVER)
        self.history: list[LogPoint] = []
        self.start = 0
        self.steps = np.zeros(len(info.seeds), np.int64)
        self.steps_trained = 0
        self.train_seconds = 0.0
        self.eval_seconds = 0.0

    def restore(self, folder: Any, carry: Carry) -> Carry:
        """The folder's last checkpoint in place of a fresh state."""
        self.start, self.history, state = folder.restore(carry._asdict())
        carry = Carry(**state)
        self.steps = self._steps(carry, self.start)
        self.steps_trained = int(self.steps.sum())
        if self.history:
            self.train_seconds = self.history[-1].timing["time/train_seconds"]
            self.eval_seconds = self.history[-1].timing["time/eval_seconds"]
        return carry

    def run(self, carry: Carry) -> TrainResult:
        """The run from where it stands to its end.

        Raises:
            DivergedError: a loss or a parameter that is not finite, with `on_divergence="raise"`.
        """
        done, stop = self.start, self._is_at_threshold()
        for update in self.plan.stops_after(self.start) if not stop else []:
            carry, report = self._chunk(carry, update - done, done)
            done = update
            point = self._point(carry, report, update)
            self.history.append(point)
            # No `any(generator)`: every listener must hear of the point.
            stop = any([listener.on_log(point) for listener in self.listeners])
            stop |= self._is_at_threshold()
            if stop or self.plan.due(update, self.plan.checkpoint_every):
                for listener in self.listeners:
                    listener.on_checkpoint(update, carry._asdict(), point)
            if stop:
                break
        if self.history and self.history[-1].evaluation is None and self.plan.eval_episodes:
            # Stopped between two evaluations, or killed between the last checkpoint and the
            # result: the outcome is that of the parameters as they are, not of older ones.
            self.history[-1] = dataclasses.replace(
                self.history[-1], evaluation=self._evaluate(carry)
            )
        result = self._result(carry, done, stop and done < self.plan.total_updates)
        for listener in self.listeners:
            listener.on_end(result)
        return result

    def _chunk(self, carry: Carry, length: int, done: int) -> tuple[Carry, ChunkReport]:
        began = time.perf_counter()
        carry, report = jax.block_until_ready(self.programs.chunk(carry, np.int32(length)))
        self.chunk_seconds = time.perf_counter() - began
        steps = self._steps(carry, done + length)
        self.chunk_steps = int((steps - self.steps).sum())
        self.steps = steps
        self.steps_trained += self.chunk_steps
        self.train_seconds += self.chunk_seconds
        self.first_bad = np.where(self.first_bad == NEVER, report.first_bad, self.first_bad)
        if self.on_divergence == "raise" and (self.first_bad != NEVER).any():
            bad = {self.info.seeds[i]: int(u) for i, u in enumerate(self.first_bad) if u != NEVER}
            raise DivergedError(_diverged_text(bad))
        return carry, report

    def _steps(self, carry: Carry, update: int) -> np.ndarray:
        """`[S]` environment steps that each seed has done: counted where updates vary in them."""
        if carry.train.steps is not None:
            return np.asarray(carry.train.steps.done).astype(np.int64)
        return np.full(len(self.info.seeds), update * self.info.algorithm.steps_per_update)

    def _point(self, carry: Carry, report: ChunkReport, update: int) -> LogPoint:
        evaluation = self._evaluate(carry) if self.plan.evaluates(update) else None
        nan = np.full(len(self.info.seeds), np.nan)
        # Counting nothing gives 0/0: NaN is what "no episode ended" reads as.
        with np.errstate(invalid="ignore"):
            metrics = {
                name: np.asarray(mean.total) / np.asarray(mean.count)
                for name, mean in report.metrics.items()
            }
        if carry.train.steps is not None:
            metrics["time/steps"] = self.steps
        metrics["eval/return"] = nan if evaluation is None else evaluation.per_seed
        metrics["eval/length"] = nan if evaluation is None else evaluation.lengths.mean(axis=1)
        timing = {
            # Of no steps there is no speed: whole episodes may have gone past the point already.
            "time/steps_per_second": (self.chunk_steps or np.nan) / self.chunk_seconds,
            "time/train_seconds": self.train_seconds,
            "time/eval_seconds": self.eval_seconds,
            "time/compile_seconds": self.programs.compile_seconds,
        }
        step = update * self.info.algorithm.steps_per_update
        return LogPoint(step, update, metrics, timing, evaluation)

    def _evaluate(self, carry: Carry) -> EvalSummary:
        assert self.programs.evaluate is not None
        began = time.perf_counter()
        key = evaluation_key(self.plan.eval_seed)
        episodes = self.programs.evaluate(carry.train, self.info.env_params, key)
        summary = summarize(episodes, self.plan.eval_greedy)
        self.eval_seconds += time.perf_counter() - began
        return summary

    def _is_at_threshold(self) -> bool:
        return self.plan.stop_at_threshold and None not in self._steps_to_threshold()

    def _steps_to_threshold(self) -> tuple[int | None, ...]:
        """Per seed, the steps at the first evaluation that reached the threshold."""
        reached: list[int | None] = [None] * len(self.info.seeds)
        for point in self.history if self.plan.threshold is not None else []:
            for i, value in enumerate(point.metrics["eval/return"]):
                if reached[i] is None and value >= self.plan.threshold:
                    reached[i] = point.step
        return tuple(reached)

    def _result(self, carry: Carry, done: int, stopped: bool) -> TrainResult:
        evaluations = [p.evaluation for p in self.history if p.evaluation is not None]
        return TrainResult(
            info=self.info,
            history=self.history,
            state=carry.train,
            final=evaluations[-1] if evaluations else None,
            steps_to_threshold=self._steps_to_threshold(),
            stopped_early=stopped,
            train_seconds=self.train_seconds,
            compile_seconds=self.programs.compile_seconds,
            wall_seconds=time.perf_counter() - self.started,
            steps_per_second=(
                self.steps_trained / self.train_seconds if self.train_seconds else 0.0
            ),
            peak_memory_bytes=peak_memory_bytes(),
            diverged=tuple(None if u == NEVER else int(u) for u in self.first_bad),
        )


def _diverged_text(bad: Mapping[int, int]) -> str:
    where = ", ".join(f"seed {seed} at update {update}" for seed, update in bad.items())
    return (
        f"a loss, a gradient or a parameter is no longer finite: {where}. Checkpoints made before "
        "are finite. Try a smaller learning_rate, a max_grad_norm, or normalize_obs=True."
    )
