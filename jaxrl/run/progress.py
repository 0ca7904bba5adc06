"""The progress line: a live one on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from jaxrl.records import LogPoint, RunInfo, TrainResult
from jaxrl.replay import in_words
from jaxrl.run.folder import by_setting
from jaxrl.types import PyTree

PLAIN_LINES = 20
"""About how many lines a run prints where there is no terminal."""


class Progress:
    """A `Callback` that says how a run is getting on."""

    def __init__(
        self, console: Console | None = None, more: Callable[[], str] | None = None
    ) -> None:
        """Writes to `console`, default standard output; `more` says what the line ends with."""
        self.console, self.more = console or Console(highlight=False), more
        self._live: Live | None = None
        self._evaluated = float("nan")
        self._first: tuple[int, float] | None = None

    def on_start(self, info: RunInfo) -> None:
        """Says what runs, and that it is being compiled."""
        self.info, self._first, self._printed = info, None, -1
        seeds = len(info.seeds)
        what = f"{seeds} seed{'s' * (seeds > 1)}"
        if info.labels:
            settings = len(by_setting(np.zeros(seeds), info.labels))
            what = f"{settings} settings × {seeds // settings} seeds"
        memory = f"replay {in_words(info.replay_bytes)}; " if info.replay_bytes else ""
        self.console.print(
            f"{info.algorithm.name} on {info.env_name}: {what}, {info.total_steps:,} steps each; "
            f"{memory}compiling …"
        )
        if self.console.is_terminal:
            self._live = Live(console=self.console, transient=True, auto_refresh=False)
            self._live.start()

    def on_log(self, point: LogPoint) -> None:
        """Renews the line."""
        if self._first is None:
            self._first = (point.step, time.perf_counter())
            self.console.print(f"compiled in {point.timing['time/compile_seconds']:.1f} s")
        if point.evaluation is not None:
            self._evaluated = float(point.evaluation.per_seed.mean())
        if self._live is not None:
            self._live.update(Text(self._line(point)), refresh=True)
            return
        mark = point.update * PLAIN_LINES // self.info.total_updates
        if mark > self._printed:
            self._printed = mark
            self.console.print(self._line(point), soft_wrap=True)

    def on_checkpoint(self, update: int, state: PyTree, point: LogPoint) -> None:
        """Nothing to say."""

    def on_end(self, result: TrainResult) -> None:
        """Clears the line."""
        self.close()

    def close(self) -> None:
        """Gives the terminal back; to be called where a run ended by an exception."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _line(self, point: LogPoint) -> str:
        share = point.step / self.info.total_steps
        trained = point.metrics.get("episode/return", np.array([np.nan]))
        return "  ".join(
            [
                f"{share:4.0%}",
                f"{point.step:>11,} steps",
                f"return {_number(np.nanmean(trained) if np.isfinite(trained).any() else np.nan)}",
                f"eval {_number(self._evaluated)}",
                f"{_number(point.timing['time/steps_per_second'], '>10,.0f')} steps/s",
                f"{_number(self._seconds_left(point), '4.0f')} s left",
                *([self.more()] if self.more is not None else []),
            ]
        )

    def _seconds_left(self, point: LogPoint) -> float:
        """At the pace since the first point: where a resumed run began is not told."""
        assert self._first is not None
        step, when = self._first
        steps_left = self.info.total_steps - point.step
        if point.step == step:  # nothing to compare with yet, but how fast it trained
            return steps_left * len(self.info.seeds) / point.timing["time/steps_per_second"]
        return steps_left * (time.perf_counter() - when) / (point.step - step)


def _number(x: Any, form: str = "8.1f") -> str:
    return format(x, form) if np.isfinite(x) else "–".rjust(len(format(0, form)))
