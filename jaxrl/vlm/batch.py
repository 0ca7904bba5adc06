"""One batch of prompts: what is under way, what has ended, and what to report of the rest.

Prompts are worked on by several threads; outcomes are collected in the thread that asked, so that
whoever is told of them is told in one thread and its errors reach it. Only what ends after the
batch is told from the thread that it ended in.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence

from jaxrl.vlm.client import OnOutcome, together
from jaxrl.vlm.messages import Outcome, Prompt, TimedOut

SOON = 0.005
"""Seconds that an outcome waits for others that come with it: to write down many costs little more
than to write down one, and the threads that bring them are not held up meanwhile."""

_End = tuple[int, Outcome | None, BaseException | None]


class Batch:
    """The prompts of one call to `ask` and what has become of them.

    Attributes:
        prompts, timeout: as they were given.
        stopped: set when nothing more is to be sent.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        timeout: float,
        on_outcome: OnOutcome | None,
    ) -> None:
        self.prompts, self.timeout = prompts, timeout
        self.stopped, self._reported = threading.Event(), threading.Event()
        self._on_outcome = on_outcome
        self._deadline = time.monotonic() + timeout
        self._lock = threading.Lock()
        self._todo = iter(range(len(prompts)))
        self._open = set(range(len(prompts)))  # no outcome yet
        self._flying: set[int] = set()
        self._closed = self._forgotten = self._telling = False
        self._verdict: Outcome | None = None
        self._fallback: list[Outcome] = [TimedOut(timeout, sent=False)] * len(prompts)
        self._outcomes: dict[int, Outcome] = {}
        self._ended: queue.SimpleQueue[_End | None] = queue.SimpleQueue()

    def left(self) -> float:
        """Seconds to the deadline, not below 0."""
        return max(0.0, self._deadline - time.monotonic())

    def take(self) -> int | None:
        """The next prompt that nobody has taken."""
        with self._lock:
            return None if self.stopped.is_set() else next(self._todo, None)

    def depart(self, index: int) -> bool:
        """Whether the call may be made; from now on it counts as under way."""
        with self._lock:
            if self.stopped.is_set() or not self.left():
                return False
            self._flying.add(index)
            self._fallback[index] = TimedOut(self.timeout)
            return True

    def fallback(self, index: int, outcome: Outcome) -> None:
        """What to report of a prompt if nothing better comes by the deadline."""
        with self._lock:
            self._flying.discard(index)
            self._fallback[index] = outcome

    def halt(self, outcome: Outcome) -> None:
        """Nothing more is sent, because it would end like this."""
        with self._lock:
            self._verdict = outcome
            self.stopped.set()

    def end(self, index: int, outcome: Outcome | None, error: BaseException | None) -> None:
        """A prompt's calls are over, by an outcome, by an error of our own, or by neither."""
        with self._lock:
            late = self._closed and index in self._flying
            self._flying.discard(index)
            self._open.discard(index)
            if not self._closed:
                self._ended.put((index, outcome, error))
            told = None if self._forgotten else self._on_outcome
        if late and outcome and told:
            self._reported.wait()  # that it timed out comes first
            told(index, outcome)

    def gather(self) -> list[Outcome]:
        """Waits for the outcomes of all prompts, or the deadline."""
        try:
            self._collect()
        finally:
            self.close(forget=self._telling)  # a listener that raised is not told again
            self._reported.set()
        return [self._outcomes[index] for index in range(len(self.prompts))]

    def _collect(self) -> None:
        while not self._closed and len(self._outcomes) < len(self.prompts):
            try:
                end = self._ended.get(timeout=self.left())
            except queue.Empty:
                break
            self._receive_all(end)
        self.close()
        self._receive_all(self._ended.get())
        for index in range(len(self.prompts)):
            if index not in self._outcomes:
                self._tell(index, self._fallback[index])

    def _receive_all(self, end: _End | None) -> None:
        """Receives this and what comes soon after it; None is the last of all."""
        ends: list[_End] = []
        until = time.monotonic() + SOON
        while end is not None:
            ends.append(end)
            soon = min(until - time.monotonic(), self.left())
            if len(ends) + len(self._outcomes) >= len(self.prompts):
                break
            try:
                end = self._ended.get(timeout=max(0.0, soon))
            except queue.Empty:
                break
        with together(self._on_outcome):
            for one in ends:
                self._receive(*one)
            self._telling = True  # leaving it, the listener may write, and raise
        self._telling = False

    def close(self, *, forget: bool = False) -> None:
        """Nothing more is sent, and what comes now is late; with `forget`, nobody is told of it."""
        with self._lock:
            self._closed = True
            self._forgotten |= forget
            self.stopped.set()
            self._ended.put(None)

    def alive(self) -> bool:
        """Whether anybody waits for it, or calls are under way."""
        with self._lock:
            return not self._closed or bool(self._flying)

    def _receive(self, index: int, outcome: Outcome | None, error: BaseException | None) -> None:
        if error is not None:
            raise error
        if index in self._outcomes:
            return  # what stopped the batch was reported for it
        if outcome is None:
            outcome = self._verdict or self._fallback[index]
        self._tell(index, outcome)
        if self._verdict is not None:
            with self._lock:
                unsent = self._open - self._flying
                self._open -= unsent
            for other in sorted(unsent - self._outcomes.keys()):
                self._tell(other, self._verdict)

    def _tell(self, index: int, outcome: Outcome) -> None:
        self._outcomes[index] = outcome
        if self._on_outcome is not None:
            self._telling = True
            self._on_outcome(index, outcome)
            self._telling = False
