"""Prompts on their way to a model, and who waits for each: whoever asks the same shares a call."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet

from jaxrl.vlm.books import Books, Entry
from jaxrl.vlm.messages import Ok, Outcome, Prompt, TimedOut


@dataclasses.dataclass(frozen=True)
class Answer:
    """How asking a prompt ended.

    Attributes:
        outcome: `Ok`, or why there is none.
        key: hash of model, sampling, messages and images: its name in the store.
        cached: it came from the store, and cost nothing.
        seconds: from asking to the outcome.
    """

    outcome: Outcome
    key: str
    cached: bool
    seconds: float


@dataclasses.dataclass(eq=False)
class Waiter:
    """One who asked, and when."""

    key: str
    future: Future[Answer] = dataclasses.field(default_factory=Future)
    began: float = dataclasses.field(default_factory=time.monotonic)


@dataclasses.dataclass(eq=False)
class Call:
    """A prompt on its way to the client, with all who wait for it; `entry` once it may go."""

    key: str
    prompt: Prompt
    waiters: list[Waiter]
    entry: Entry | None = None

    @property
    def overdue(self) -> float | None:
        """When its deadline passed without an answer, which may still come; or None."""
        return None if self.entry is None else self.entry.overdue


Arrival = tuple[Call, Outcome]


class Arrivals:
    """Hears of the outcomes of a batch's calls. See `jaxrl.vlm.client.Listener`."""

    def __init__(self, calls: Sequence[Call], enter: Callable[[list[Arrival]], None]) -> None:
        """`enter` is handed those that came together, or one; it may raise."""
        self._calls, self._enter = calls, enter
        self._gathered: list[Arrival] | None = None

    def __call__(self, index: int, outcome: Outcome) -> None:
        """Hands on one outcome, or keeps it till the end of `together`."""
        # Other threads tell of late outcomes only after the batch, when nothing is gathered.
        if self._gathered is None:
            self._enter([(self._calls[index], outcome)])
        else:
            self._gathered.append((self._calls[index], outcome))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """See `Listener.together`."""
        self._gathered = []
        try:
            yield
        finally:
            came, self._gathered = self._gathered, None
            if came:
                self._enter(came)


class Flights:
    """The calls that are under way. Safe to use from several threads."""

    def __init__(self, books: Books, timeout: float) -> None:
        """`timeout`: seconds for which a prompt is not sent again after its deadline."""
        self.books, self.timeout = books, timeout
        self._flying: dict[str, Call] = {}
        self._lock = threading.Lock()

    def board(
        self, keys: Sequence[str], prompts: Sequence[Prompt]
    ) -> tuple[list[Waiter], list[Call]]:
        """A waiter for each prompt, and the calls that have to be made for them.

        What the store has is answered, what is under way already is joined.
        """
        waiters, calls = [Waiter(key) for key in keys], []
        counts, store = self.books.counts, self.books.store
        with self._lock:
            counts.asked += len(prompts)
            self._forget_overdue()
            # An answer is stored before its call stops flying: here it is found, or the call is.
            found = {} if store is None else store.find(set(keys))
            for waiter, prompt in zip(waiters, prompts, strict=True):
                call = self._flying.get(waiter.key)
                if waiter.key in found:
                    counts.cached += 1
                    self._tell(waiter, found[waiter.key], cached=True)
                elif call is None:
                    self._flying[waiter.key] = call = Call(waiter.key, prompt, [waiter])
                    calls.append(call)
                elif call.overdue is not None:
                    self._tell(waiter, TimedOut(0.0))
                else:
                    counts.repeated += 1
                    call.waiters.append(waiter)
        return waiters, calls

    def land(self, call: Call, outcome: Outcome) -> None:
        """Tells all who wait. A call whose answer may still come goes on flying."""
        with self._lock:
            waiters, call.waiters = call.waiters, []
            coming = call.entry is not None and not call.entry.settled
            if self._flying.get(call.key) is call and not coming:
                del self._flying[call.key]
        for waiter in waiters:
            self._tell(waiter, outcome)

    def wait(self, waiter: Waiter, ends: float) -> Answer:
        """The answer, or `TimedOut` where another's call has not brought it by then."""
        try:
            return waiter.future.result(max(0.0, ends - time.monotonic()))
        except NotYet:
            if not waiter.future.cancel():  # it came just now
                return waiter.future.result()
            outcome = TimedOut(time.monotonic() - waiter.began)
            self.books.failed(outcome)
            return Answer(outcome, waiter.key, False, outcome.seconds)

    def _tell(self, waiter: Waiter, outcome: Outcome, *, cached: bool = False) -> None:
        if not waiter.future.set_running_or_notify_cancel():
            return
        if not isinstance(outcome, Ok):
            self.books.failed(outcome)
        seconds = time.monotonic() - waiter.began
        waiter.future.set_result(Answer(outcome, waiter.key, cached, seconds))

    def _forget_overdue(self) -> None:
        """Lets prompts be asked again whose answers have not come for long."""
        before = time.monotonic() - self.timeout
        for key, call in list(self._flying.items()):
            if call.overdue is not None and call.overdue < before:
                del self._flying[key]
