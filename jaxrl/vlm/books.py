"""What calls cost and what is kept of them: budget, ledger and counts, always in step."""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
import time
from collections.abc import Sequence

from jaxrl.vlm.budget import Amount, Budget
from jaxrl.vlm.client import Sampling
from jaxrl.vlm.messages import Ok, Outcome, Prompt, Refused, TimedOut, TransportError
from jaxrl.vlm.prices import Price, worst_case
from jaxrl.vlm.store import Ending, Store
from jaxrl.vlm.tables import describe


@dataclasses.dataclass
class Counts:
    """What asking has taken so far; shown in progress lines and reports.

    Attributes:
        asked: prompts, however they were answered.
        calls: those that went to the client.
        cached: those that the store answered.
        repeated: those that were the same as another in flight or in their batch.
        failed: those that ended in anything but `Ok`.
        failed_by: the same by kind: "refused", "transport", "timeout", "budget", or "unsent" for
            those that never had their turn.
        input_tokens, output_tokens: as providers counted them.
        dollars: money spent, or None where nobody knows the model's prices.
    """

    asked: int = 0
    calls: int = 0
    cached: int = 0
    repeated: int = 0
    failed: int = 0
    failed_by: dict[str, int] = dataclasses.field(default_factory=dict)
    input_tokens: int = 0
    output_tokens: int = 0
    dollars: float | None = None


@dataclasses.dataclass(eq=False)
class Entry:
    """A call in the books.

    Attributes:
        worst: the most that it can cost, set aside until it is `settled`.
        expected: tokens that it was expected to cost at most, by the prompt alone.
        row: its number in the store's ledger, or None without a store.
        sent: when it was sent, by the monotonic clock.
        overdue: when its deadline passed without an answer, or None.
        settled: its cost is known, or will never be.
    """

    worst: Amount
    expected: int
    row: int | None = None
    sent: float = 0.0
    overdue: float | None = None
    settled: bool = False


class Books:
    """Enters calls before they are made and after they ended. Safe to use from several threads.

    Attributes:
        counts: see `Counts`.
        broken: an error of the store in a thread where nobody could be told, or None.
    """

    def __init__(
        self,
        model: str,
        sampling: Sampling,
        *,
        price: Price | None,
        budget: Budget,
        store: Store | None,
    ) -> None:
        """What earlier runs have spent, says the store, counts against the budget."""
        self.model, self.sampling = model, sampling
        self.price, self.budget, self.store = price, budget, store
        if store is not None:
            budget.carry(store.spent())
        self.counts = Counts(dollars=None if price is None else 0.0)
        self.broken: sqlite3.Error | None = None
        self._factor = 1.0
        self._closed = False
        self._lock = threading.Lock()

    def reserve(self, prompt: Prompt) -> Entry | str:
        """Sets aside what a call may cost, or says why it cannot.

        A model that was found to count more tokens than expected is expected to go on so.
        """
        expected = worst_case(prompt, self.sampling, self.price)
        worst = expected.times(self._factor)
        return self.budget.reserve(worst) or Entry(worst, expected.tokens)

    def sent(
        self, keys: Sequence[str], prompts: Sequence[Prompt], entries: Sequence[Entry]
    ) -> None:
        """Enters calls that are about to be made."""
        with self._lock:
            self.counts.calls += len(entries)
            if self.store is not None:
                worst = [entry.worst for entry in entries]
                rows = self.store.sent(self.model, keys, prompts, worst)
                for entry, row in zip(entries, rows, strict=True):
                    entry.row = row
            for entry in entries:
                entry.sent = time.monotonic()

    def ended(self, ends: Sequence[tuple[Entry, Outcome]]) -> None:
        """Enters how calls ended that ended together.

        May be told twice, as of one that timed out and then came. What a call that timed out may
        cost stays set aside until its answer comes, if ever: it may be billed all the same.
        """
        with self._lock:
            if self._closed:
                return
            endings = [ending for end in ends if (ending := self._end(*end)) is not None]
            if self.store is None or not endings:
                return
            try:
                self.store.ended_together(endings, self.sampling)
            except sqlite3.Error as error:
                self.broken = error  # in a client's thread: whoever asks next hears of it

    def failed(self, outcome: Outcome) -> None:
        """Counts a prompt that ended without an answer."""
        kind, _ = describe(outcome)
        with self._lock:
            self.counts.failed += 1
            self.counts.failed_by[kind] = self.counts.failed_by.get(kind, 0) + 1

    def status(self) -> str:
        """One line: "412 asked, 96 calls, 316 cached, $0.12 of $2.00"."""
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
        """Closes the store. What comes later is not written down."""
        with self._lock:
            self._closed = True
            if self.store is not None:
                self.store.close()

    def _end(self, entry: Entry, outcome: Outcome) -> Ending | None:
        """Settles a call; what the store is to be told of it, or None for nothing new."""
        late = isinstance(outcome, TimedOut) and outcome.sent
        if entry.settled or (late and entry.overdue is not None):
            return None
        cost = self._cost(entry.worst, outcome)
        if late:
            entry.overdue = time.monotonic()
        else:
            entry.settled = True
            self.budget.settle(entry.worst, cost)
            self._count(outcome, cost)
            self._factor = max(self._factor, cost.tokens / max(entry.expected, 1))
        if entry.row is None:
            return None
        return Ending(entry.row, outcome, time.monotonic() - entry.sent, cost)

    def _count(self, outcome: Outcome, cost: Amount) -> None:
        if isinstance(outcome, (Ok, Refused)):
            self.counts.input_tokens += outcome.usage.input_tokens
            self.counts.output_tokens += outcome.usage.output_tokens
        if self.counts.dollars is not None:
            self.counts.dollars += cost.dollars or 0.0

    def _cost(self, worst: Amount, outcome: Outcome) -> Amount:
        """What a call is taken to have cost: by its usage, or the worst where nobody knows."""
        if self.price is not None and not self.price.counts:
            return worst
        if isinstance(outcome, (Ok, Refused)) and outcome.usage.input_tokens > 0:
            used = outcome.usage
            dollars = None if self.price is None else self.price.of(used)
            return Amount(1, used.input_tokens + used.output_tokens, dollars)
        if isinstance(outcome, TransportError) and (outcome.status or 0) >= 400:
            return Amount(1, 0, 0.0)  # the server turned it down, and bills nothing
        if isinstance(outcome, TimedOut) and not outcome.sent:
            return Amount(0, 0, 0.0)
        return worst
