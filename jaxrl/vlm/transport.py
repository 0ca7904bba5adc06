"""Sends the prompts of a batch side by side, again where that can help, never past the deadline.

The one layer that retries: nothing below it does. A call that is under way at the
deadline is not cut off, because it will be paid for anyway; its answer is handed on when it comes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import email.utils
import itertools
import math
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from jaxrl.errors import check_range
from jaxrl.vlm.batch import Batch
from jaxrl.vlm.client import OnOutcome
from jaxrl.vlm.messages import Ok, Outcome, Prompt, Refused, TransportError

Send = Callable[[Prompt, float], Ok | Refused]
"""`send(prompt, seconds)`: one call, which may take so long. Raises `Failure`."""

ALONE = 1.0
"""How long the others wait, in seconds, while the first call of a client shows that its key is
good; at most a quarter of the batch's time."""

IDLE = 30.0
"""Seconds for which a thread waits for another batch before it ends."""


@dataclasses.dataclass(frozen=True)
class Retries:
    """How often a call is made again, and how long it waits before.

    Attributes:
        limit: further calls after the first.
        base: seconds before the first of them; doubled each time.
        cap: the longest wait that is not the server's own wish.
    """

    limit: int = 6
    base: float = 0.5
    cap: float = 8.0

    def wait(self, attempt: int, uniform: float) -> float:
        """Seconds to wait after attempt 0, 1, …; `uniform` in [0, 1) takes off up to a half.

        Without the chance in it, all calls that failed together would come back together.
        """
        return min(self.cap, self.base * 2.0 ** min(attempt, 32)) * (1.0 - 0.5 * uniform)


class Failure(Exception):
    """A call without an answer.

    Attributes:
        outcome: what to report of it if this is the end.
        again: the same call may succeed later.
        after: seconds that the server asks to wait, or None.
    """

    def __init__(
        self, outcome: TransportError | Refused, *, again: bool = False, after: float | None = None
    ) -> None:
        super().__init__(outcome.reason)
        self.outcome, self.again, self.after = outcome, again, after

    def report(self, more: str) -> TransportError | Refused:
        """The outcome, with something added to its reason."""
        return dataclasses.replace(self.outcome, reason=self.outcome.reason + more)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait: its `Retry-After`, a number or an HTTP date (RFC 9110).

    A date is compared with the server's own clock, where it tells that in `Date`.
    """
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        else:
            seconds = float(headers["retry-after"])
    except KeyError:
        return None
    except ValueError:
        try:
            then = email.utils.parsedate_to_datetime(headers["retry-after"]).timestamp()
            here = headers.get("date")
            now = email.utils.parsedate_to_datetime(here).timestamp() if here else time.time()
        except (KeyError, ValueError, OverflowError):
            return None
        seconds = then - now
    return max(0.0, seconds) if math.isfinite(seconds) else None


class Transport:
    """Sends batches by one function, which is called from several threads.

    Attributes:
        concurrency: the most calls at a time, those of all batches together.
    """

    def __init__(
        self,
        send: Send,
        *,
        concurrency: int = 8,
        retries: Retries | None = None,
        late: float = 30.0,
        rng: np.random.Generator | None = None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            send: see `Send`.
            concurrency: see the class.
            retries: see `Retries`.
            late: seconds that a call may go on beyond the deadline of its batch. It holds its
                place among `concurrency` so long.
            rng: the chance in the waits.

        Raises:
            ConfigError: no call at a time.
        """
        check_range("concurrency", concurrency, 1)
        self.concurrency, self.late = concurrency, late
        self._send, self._retries = send, Retries() if retries is None else retries
        self._rng = np.random.default_rng() if rng is None else rng
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(concurrency)
        self._first, self._proven = threading.Lock(), threading.Event()
        self._pause: tuple[float, Failure] | None = None
        self._batches: list[Batch] = []
        self._jobs: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._threads = 0
        self._spare = 0  # threads without a batch, less the batches that wait for one
        self._closed = False

    def ask(
        self, prompts: Sequence[Prompt], *, timeout: float, on_outcome: OnOutcome | None = None
    ) -> list[Outcome]:
        """See `Client.ask`.

        `on_outcome` is told of every outcome that is returned, in this thread, and from another
        thread a second time of a prompt that was under way at the deadline, when its call ends.
        What it raises ends the batch and passes through.
        """
        batch = Batch(prompts, timeout, on_outcome)
        with self._lock:
            if self._closed:
                raise RuntimeError("this client is closed")
            self._batches.append(batch)
            self._staff(batch, min(self.concurrency, len(prompts)))
        try:
            return batch.gather()
        finally:
            with self._lock:
                self._batches = [other for other in self._batches if other.alive()]

    def close(self) -> None:
        """Nothing is sent any more, and answers that are still out are not waited for."""
        with self._lock:
            self._closed = True
            for batch in self._batches:
                batch.close(forget=True)
            for _ in range(self._threads):
                self._jobs.put(None)

    def _staff(self, batch: Batch, count: int) -> None:
        """Puts so many threads to a batch, new ones where too few are idle; holds the lock.

        They are kept from batch to batch, since to start one takes as long as a call's own work.
        """
        new = max(0, count - self._spare)
        self._spare += new - count
        self._threads += new
        for _ in range(count):
            self._jobs.put(batch)
        for _ in range(new):
            # Daemons: a server that hangs does not keep the interpreter from leaving.
            threading.Thread(target=self._work, name="vlm", daemon=True).start()

    def _work(self) -> None:
        try:
            while (batch := self._next()) is not None:
                self._work_on(batch)
                with self._lock:
                    self._spare += 1
        finally:
            with self._lock:
                self._threads -= 1

    def _next(self) -> Batch | None:
        """The batch that a thread is to work on next, or None if it is no longer needed."""
        with contextlib.suppress(queue.Empty):
            return self._jobs.get(timeout=IDLE)
        with self._lock:
            with contextlib.suppress(queue.Empty):
                return self._jobs.get_nowait()  # put just before the lock was had
            self._spare -= 1
            return None

    def _work_on(self, batch: Batch) -> None:
        while (index := batch.take()) is not None:
            outcome = None
            try:
                outcome = self._ask_one(batch, index)
            finally:
                batch.end(index, outcome, sys.exception())

    def _ask_one(self, batch: Batch, index: int) -> Outcome | None:
        """The outcome of one prompt, or None if its batch ended before there was any."""
        for attempt in itertools.count():
            try:
                with self._turn(batch, index) as mine:
                    if not mine:
                        return None
                    return self._send(batch.prompts[index], batch.left() + self.late)
            except Failure as failure:
                tries = f" (after {attempt + 1} tries)" if attempt else ""
                outcome = failure.report(tries)
                wait = self._wait(failure, attempt)
                over = attempt >= self._retries.limit or wait >= batch.left()
                if over or not failure.again:
                    return outcome
                batch.fallback(index, outcome)
            batch.stopped.wait(wait)

    def _wait(self, failure: Failure, attempt: int) -> float:
        with self._lock:
            uniform = float(self._rng.random())
        if not failure.after:
            return self._retries.wait(attempt, uniform)
        return failure.after * (1.0 + 0.1 * uniform)  # never sooner than the server asks

    @contextlib.contextmanager
    def _turn(self, batch: Batch, index: int) -> Iterator[bool]:
        """Waits until a call may be made, and says whether there is still a use in it.

        Raises:
            Failure: the server has asked for a rest beyond the deadline.
        """
        scout = not self._proven.is_set() and self._first.acquire(blocking=False)
        if not scout:
            self._proven.wait(min(ALONE, batch.timeout / 4, batch.left()))
        slot = self._slots.acquire(timeout=batch.left())
        try:
            self._rest(batch)
            mine = slot and batch.depart(index)
            yield mine
            if mine:
                self._proven.set()
        except Failure as failure:
            if isinstance(failure.outcome, TransportError) and failure.outcome.fatal:
                batch.halt(failure.outcome)
            else:
                self._proven.set()
            if failure.again and failure.after:
                self._pause = (time.monotonic() + failure.after, failure)
            raise
        finally:
            if slot:
                self._slots.release()
            if scout:
                self._first.release()

    def _rest(self, batch: Batch) -> None:
        """Waits as long as the server has asked anybody to."""
        if self._pause is None:
            return
        until, failure = self._pause
        wait = until - time.monotonic()
        if wait >= batch.left():
            more = f" (it asks for {wait:.1f} s of rest, and the deadline is before)"
            raise Failure(failure.report(more))
        if wait > 0:
            batch.stopped.wait(wait)
