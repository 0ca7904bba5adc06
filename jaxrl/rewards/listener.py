"""What the host does for a model's reward between two chunks: alarms, errors, the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl.errors import ModelError
from jaxrl.records import LogPoint, RunInfo, TrainResult
from jaxrl.rewards.alarms import KINDS, MEANING, Policy
from jaxrl.rewards.judge import Judge
from jaxrl.types import PyTree
from jaxrl.vlm.captions import write_captions

SHOWN = 60
"""Characters of an answer that an alarm quotes."""


class VLMListener:
    """A `Callback` of the reward source itself.

    It raises what the judge could not raise from within a compiled program, says which alarms
    ring and stops the run where they are to, and adds `vlm` to `result.json`.
    """

    def __init__(
        self,
        judge: Judge,
        alarm: Policy,
        folder: str | Path | None,
        say: Callable[[str], None],
        begin: Callable[[], None] | None = None,
    ) -> None:
        self.judge, self.alarm, self.say, self.begin = judge, alarm, say, begin
        self.folder = None if folder is None else Path(folder)
        self.rung: list[str] = []

    def status(self) -> str:
        """One line for a progress display."""
        rung = f", alarm: {', '.join(self.rung)}" if self.rung else ""
        return self.judge.asker.status() + rung

    def on_start(self, info: RunInfo) -> None:
        """Begins anew: what another run waited for is not this one's."""
        del info
        self.rung = []
        self.judge.renew()
        if self.begin is not None:
            self.begin()

    def on_log(self, point: LogPoint) -> bool:
        """Raises what has gone wrong meanwhile; True where the run is to stop.

        Raises:
            ModelError: every further call would fail (a wrong key, say), or an exception on the
                host's side of a call.
        """
        if self.judge.error is not None:
            error, self.judge.error = self.judge.error, None
            raise ModelError(f"asking about frames failed: {error}") from error
        asker = self.judge.asker
        if asker.fatal is not None:
            raise ModelError(f"the model cannot be asked: {asker.fatal.reason}")
        for kind in KINDS:
            if np.any(point.metrics[f"vlm/alarm/{kind}"] > 0) and kind not in self.rung:
                self.rung.append(kind)
                self.say(self._alarm(kind))
        if asker.stopping is not None:
            self.say(f"stopping: {asker.stopping}")
        return asker.stopping is not None or (self.alarm == "stop" and bool(self.rung))

    def on_checkpoint(self, update: int, state: PyTree, point: LogPoint) -> None:
        """Nothing to do: answers are in the store, and what is waited for is in the state."""

    def on_end(self, result: TrainResult) -> None:
        """Adds cost, latency and alarms to the result, and draws `captions.html`."""
        result.notes["vlm"] = self.summary()
        store = self.judge.asker.store
        if self.folder is not None and store is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_captions(store, self.folder / "captions.html", read=self.judge.parser)

    def summary(self) -> dict[str, Any]:
        """What the run asked, what that took, and which alarms rang, JSON-able."""
        asker, counts = self.judge.asker, self.judge.asker.counts
        seconds = np.asarray(self.judge.seconds or [np.nan])
        latency = {
            name: float(np.quantile(seconds, share)) if self.judge.seconds else None
            for name, share in (("median", 0.5), ("p95", 0.95))
        }
        return {
            "model": asker.client.model,
            "prompt": self.judge.template.name,
            "prompt_digest": self.judge.template.digest,
            "parser": self.judge.parser.name,
            "asked": counts.asked,
            "calls": counts.calls,
            "cached": counts.cached,
            "repeated": counts.repeated,
            "failed": counts.failed,
            "failed_by": dict(counts.failed_by),
            "input_tokens": counts.input_tokens,
            "output_tokens": counts.output_tokens,
            "dollars": counts.dollars,
            "latency_seconds": latency,
            "alarms": list(self.rung),
            "commonest_answers": self.judge.texts.most_common(5),
        }

    def _alarm(self, kind: str) -> str:
        text, times = (self.judge.texts.most_common(1) or [("", 0)])[0]
        quoted = text if len(text) <= SHOWN else text[:SHOWN] + "…"
        common = f" (the commonest, {times} times: {quoted!r})" if times else ""
        does = {
            "warn": "the run goes on; alarm='mask' or 'stop' would not have let it",
            "mask": "no further label is used",
            "stop": "the run stops",
        }
        return f"alarm: {MEANING[kind]}{common}: {does[self.alarm]}."
