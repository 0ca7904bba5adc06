"""What the rest of jaxrl asks through: store, budget and client, each prompt once.

A prompt is looked for in the store; one that is already being asked is waited for; for the others
the worst that they can cost is set aside, and they go to the client in one batch. Every outcome
is written down the moment it arrives, from whatever thread, also after the batch's deadline.
"""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path
from typing import Literal

from jaxrl.errors import ConfigError
from jaxrl.vlm.books import Books, Counts, Entry
from jaxrl.vlm.budget import Budget
from jaxrl.vlm.client import Client
from jaxrl.vlm.messages import Ok, Outcome, OverBudget, Prompt, TimedOut, TransportError
from jaxrl.vlm.prices import Price, price_of, unknown_price
from jaxrl.vlm.store import Store, describe, key_of

WAITING = 4096
"""Submitted prompts that may wait for their turn; more are turned away: memory stays bounded."""


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
class _Waiter:
    """One who asked, and when."""

    key: str
    future: Future[Answer] = dataclasses.field(default_factory=Future)
    began: float = dataclasses.field(default_factory=time.monotonic)


@dataclasses.dataclass(eq=False)
class _Call:
    """A prompt on its way to the client, with all who wait for it; `entry` once it may go."""

    key: str
    prompt: Prompt
    waiters: list[_Waiter]
    entry: Entry | None = None


class Asker:
    """Asks a client, each prompt once. Safe to use from several threads.

    Attributes:
        client: who is asked.
        counts: see `Counts`.
        budget: what may be spent and what is.
        store: where answers are looked for and kept, or None.
        fatal: what every further call would meet too (a wrong key), or None. After one, nothing
            more is sent.
        spent: why the first prompt that found no budget was not asked, or None.
    """

    def __init__(
        self,
        client: Client,
        *,
        store: Store | str | Path | None = None,
        budget: Budget | str | None = None,
        price: Price | str | Path | None = None,
        on_spent: Literal["mask", "stop"] = "mask",
        timeout: float = 60.0,
        batch: int = 64,
    ) -> None:
        """Takes over client and store, and closes them when it is closed.

        Args:
            client: who is asked.
            store: a store, or its path. What its ledger says earlier runs have spent counts
                against the budget: a run that is resumed does not begin to spend anew.
            budget: e.g. "2usd,1000calls"; None for no limit.
            price: see `prices.price_of`.
            on_spent: whether a run goes on or ends when the budget is spent; see `stopping`.
            timeout: seconds that a batch may take, all retries included. What timed out is not
                sent again for as long: its answer may still come, and would be paid twice.
            batch: prompts that `submit` gathers into one batch at most.

        Raises:
            ConfigError: a budget in dollars and no price, or what `Store` and `Budget` raise.
        """
        if on_spent not in ("mask", "stop"):
            raise ConfigError(f"on_spent={on_spent!r}: needed is 'mask' or 'stop'")
        self.client, self.timeout, self.on_spent, self.batch = client, timeout, on_spent, batch
        self.budget = Budget.of(budget) if isinstance(budget, str) else budget or Budget()
        known = price_of(client.model, price)
        if known is None and "dollars" in self.budget.limit:
            raise unknown_price(client.model)
        self.store = Store(store) if isinstance(store, (str, Path)) else store
        self._books = Books(
            client.model, client.sampling, price=known, budget=self.budget, store=self.store
        )
        self.counts: Counts = self._books.counts
        self.fatal: TransportError | None = None
        self.spent: str | None = None
        self._lock = threading.Lock()
        self._flying: dict[str, _Call] = {}
        self._waiting: collections.deque[_Call] = collections.deque()
        self._pumping = self._closed = False
        self._error: BaseException | None = None
        self._thread = ThreadPoolExecutor(1, "asker")

    @property
    def stopping(self) -> str | None:
        """Why a run that needs answers should end now, or None."""
        if self.fatal is not None:
            return self.fatal.reason
        return self.spent if self.on_spent == "stop" else None

    def ask(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """One answer a prompt, in their order; waits at most `timeout` seconds.

        Raises:
            sqlite3.Error: the store cannot be written: answers would be paid for and lost.
        """
        ends = time.monotonic() + self.timeout
        waiters, calls = self._begin(prompts)
        self._send(calls)
        return [self._wait(waiter, ends) for waiter in waiters]

    def submit(self, prompts: Sequence[Prompt]) -> list[Future[Answer]]:
        """As `ask`, but returns at once; the answers come as they come.

        Prompts of many calls are gathered into batches and asked on a thread of the asker's own.
        A future that is cancelled before its turn is not asked. Where too many are waiting, the
        outcome is `TimedOut(0)` at once.
        """
        waiters, calls = self._begin(prompts)
        with self._lock:
            room = WAITING - len(self._waiting)
            self._waiting.extend(calls[:room])
            if self._waiting and not self._pumping:
                self._pumping = True
                self._thread.submit(self._pump).add_done_callback(self._pumped)
        for call in calls[room:]:
            self._finish(call, TimedOut(0.0), kind="queue")
        return [waiter.future for waiter in waiters]

    def status(self) -> str:
        """One line for a progress display: "412 asked, 96 calls, 316 cached, $0.12 of $2.00"."""
        counts = self.counts
        parts = [f"{counts.asked} asked", f"{counts.calls} calls", f"{counts.cached} cached"]
        if counts.failed:
            kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(counts.failed_by.items()))
            parts.append(f"{counts.failed} failed ({kinds})")
        if self.budget.limit:
            parts.append(str(self.budget))
        elif counts.dollars:
            parts.append(f"${counts.dollars:.4f}")
        return ", ".join(parts)

    def close(self) -> None:
        """Lets go of client, store and thread; what has not had its turn is not asked."""
        with self._lock:
            closed, self._closed = self._closed, True
            waiting = list(self._waiting)
            self._waiting.clear()
        if closed:
            return
        for call in waiting:
            self._finish(call, TransportError("the asker was closed"), kind="queue")
        self.client.close()
        self._thread.shutdown()
        self._books.close()

    def _begin(self, prompts: Sequence[Prompt]) -> tuple[list[_Waiter], list[_Call]]:
        """Answers from the store, joins what is in flight; returns the calls to be made."""
        if self._closed:
            raise ValueError("the asker is closed")
        self._raise_errors()
        waiters = [
            _Waiter(key_of(self.client.model, self.client.sampling, prompt)) for prompt in prompts
        ]
        calls: list[_Call] = []
        with self._lock:
            self.counts.asked += len(prompts)
            self._forget_overdue()
            # An answer is stored before its call stops flying: here it is found, or the call is.
            found = self.store.find({waiter.key for waiter in waiters}) if self.store else {}
            for waiter, prompt in zip(waiters, prompts, strict=True):
                flying = self._flying.get(waiter.key)
                if waiter.key in found:
                    self.counts.cached += 1
                    self._tell(waiter, found[waiter.key], cached=True)
                elif flying is None:
                    self._flying[waiter.key] = call = _Call(waiter.key, prompt, [waiter])
                    calls.append(call)
                elif flying.entry is not None and flying.entry.overdue is not None:
                    self._tell(waiter, TimedOut(0.0))
                else:
                    self.counts.repeated += 1
                    flying.waiters.append(waiter)
        return waiters, calls

    def _send(self, calls: list[_Call]) -> None:
        """Asks the client what the budget allows; on return every call has an outcome."""
        calls = [call for call in calls if self._may_go(call)]
        if not calls:
            return

        def arrived(index: int, outcome: Outcome) -> None:
            self._arrived(calls[index], outcome)

        prompts = [call.prompt for call in calls]
        try:
            entries = [call.entry for call in calls if call.entry is not None]
            self._books.sent([call.key for call in calls], prompts, entries)
            outcomes = self.client.ask(prompts, timeout=self.timeout, on_outcome=arrived)
            for call, outcome in zip(calls, outcomes, strict=True):
                self._arrived(call, outcome)
        finally:
            for call in calls:  # those that an exception left without an outcome
                if call.waiters:
                    self._arrived(call, TransportError("asking ended in an exception"))
        self._raise_errors()

    def _may_go(self, call: _Call) -> bool:
        """Whether a call may be made; where not, it has its outcome."""
        if self.fatal is not None:
            self._finish(call, self.fatal)
            return False
        if all(waiter.future.cancelled() for waiter in call.waiters):
            self._finish(call, TimedOut(0.0), kind="queue")
            return False
        entry = self._books.reserve(call.prompt)
        if isinstance(entry, str):
            self.spent = self.spent or entry
            self._finish(call, OverBudget(entry))
            return False
        call.entry = entry
        return True

    def _arrived(self, call: _Call, outcome: Outcome) -> None:
        """Enters one outcome and tells who waits; called from any thread, maybe twice."""
        if isinstance(outcome, TransportError) and outcome.fatal:
            self.fatal = self.fatal or outcome
        assert call.entry is not None
        self._books.ended(call.entry, outcome)
        self._finish(call, outcome)

    def _finish(self, call: _Call, outcome: Outcome, *, kind: str | None = None) -> None:
        """Tells all who wait. A call whose answer may still come goes on flying."""
        with self._lock:
            waiters, call.waiters = call.waiters, []
            coming = call.entry is not None and not call.entry.settled
            if self._flying.get(call.key) is call and not coming:
                del self._flying[call.key]
        for waiter in waiters:
            self._tell(waiter, outcome, kind=kind)

    def _tell(
        self, waiter: _Waiter, outcome: Outcome, *, cached: bool = False, kind: str | None = None
    ) -> None:
        if not waiter.future.set_running_or_notify_cancel():
            return
        if not isinstance(outcome, Ok):
            self._books.failed(kind or describe(outcome)[0])
        seconds = time.monotonic() - waiter.began
        waiter.future.set_result(Answer(outcome, waiter.key, cached, seconds))

    def _wait(self, waiter: _Waiter, ends: float) -> Answer:
        """The answer, or `TimedOut` where another's call has not brought it by then."""
        try:
            return waiter.future.result(max(0.0, ends - time.monotonic()))
        except NotYet:
            if not waiter.future.cancel():  # it came just now
                return waiter.future.result()
            self._books.failed("timeout")
            return Answer(TimedOut(self.timeout), waiter.key, False, self.timeout)

    def _pump(self) -> None:
        """Asks what was submitted until nothing waits; on the asker's own thread."""
        while True:
            with self._lock:
                calls = [
                    self._waiting.popleft() for _ in range(min(self.batch, len(self._waiting)))
                ]
                if not calls:
                    self._pumping = False
                    return
            self._send(calls)

    def _pumped(self, pump: Future[None]) -> None:
        """After an exception on the asker's thread, whoever asks next hears of it."""
        if (error := pump.exception()) is None:
            return
        with self._lock:
            self._error, self._pumping = error, False
            waiting = list(self._waiting)
            self._waiting.clear()
        for call in waiting:
            self._finish(call, TransportError("asking ended in an exception"), kind="queue")

    def _forget_overdue(self) -> None:
        """Lets prompts be asked again whose answers have not come for long."""
        before = time.monotonic() - self.timeout
        for key, call in list(self._flying.items()):
            overdue = call.entry.overdue if call.entry is not None else None
            if overdue is not None and overdue < before:
                del self._flying[key]

    def _raise_errors(self) -> None:
        if self._error is not None:
            raise self._error
        if self._books.broken is not None:
            raise self._books.broken
