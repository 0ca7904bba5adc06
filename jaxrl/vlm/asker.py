"""What the rest of jaxrl asks through: store, budget and client, each prompt once.

A prompt is looked for in the store; one that is already being asked is waited for; for the others
the worst that they can cost is set aside, and they go to the client in one batch. Every outcome
is written down the moment it arrives, with those that arrived by then, from whatever thread, also
after the batch's deadline.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Literal

from jaxrl.errors import ConfigError
from jaxrl.vlm.books import Books
from jaxrl.vlm.books import Counts as Counts
from jaxrl.vlm.budget import Budget
from jaxrl.vlm.client import Client
from jaxrl.vlm.flights import Answer as Answer
from jaxrl.vlm.flights import Arrival, Arrivals, Call, Flights, Waiter
from jaxrl.vlm.messages import OverBudget, Prompt, TimedOut, TransportError
from jaxrl.vlm.prices import Price, price_of, unknown_price
from jaxrl.vlm.pump import Pump
from jaxrl.vlm.store import Store, keys_of

WAITING = 4096
"""Submitted prompts that may wait for their turn; more are turned away: memory stays bounded."""


class Asker:
    """Asks a client, each prompt once. Safe to use from several threads.

    Attributes:
        client: who is asked.
        counts: see `Counts`.
        budget: what may be spent and what is.
        price: the model's, or None where nobody knows it.
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
        self.price = price_of(client.model, price)
        if self.price is None and "dollars" in self.budget.limit:
            raise unknown_price(client.model)
        self.store = Store(store) if isinstance(store, (str, Path)) else store
        self._books = Books(
            client.model, client.sampling, price=self.price, budget=self.budget, store=self.store
        )
        self.counts: Counts = self._books.counts
        self.fatal: TransportError | None = None
        self.spent: str | None = None
        self._lock = threading.Lock()
        self._flights = Flights(self._books, timeout)
        self._closed = False
        self._pump: Pump[Call] = Pump(self._send, self._drop, batch=batch, room=WAITING)

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
        return [self._flights.wait(waiter, ends) for waiter in waiters]

    def submit(self, prompts: Sequence[Prompt]) -> list[Future[Answer]]:
        """As `ask`, but returns at once; the answers come as they come.

        Prompts of many calls are gathered into batches and asked on a thread of the asker's own.
        A future that is cancelled before its turn is not asked. Where too many are waiting, the
        outcome is `TimedOut` at once, unsent.
        """
        waiters, calls = self._begin(prompts)
        self._pump.put(calls)
        return [waiter.future for waiter in waiters]

    def status(self) -> str:
        """One line for a progress display: "412 asked, 96 calls, 316 cached, $0.12 of $2.00"."""
        return self._books.status()

    def close(self) -> None:
        """Lets go of client, store and thread; what has not had its turn is not asked."""
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed:
            self._pump.close()
            self.client.close()
            self._pump.join()
            self._books.close()

    def _begin(self, prompts: Sequence[Prompt]) -> tuple[list[Waiter], list[Call]]:
        """Who waits for what, and the calls to be made."""
        if self._closed:
            raise ValueError("the asker is closed")
        self._raise_errors()
        keys = keys_of(self.client.model, self.client.sampling, prompts)
        return self._flights.board(keys, prompts)

    def _send(self, calls: list[Call]) -> None:
        """Asks the client what the budget allows; on return every call has an outcome."""
        calls = [call for call in calls if self._may_go(call)]
        if not calls:
            return
        mine = threading.get_ident()

        def enter(came: list[Arrival]) -> None:
            self._arrived(came)
            if threading.get_ident() == mine:
                self._raise_errors()  # pay for no more answers that cannot be kept

        prompts = [call.prompt for call in calls]
        try:
            entries = [call.entry for call in calls if call.entry is not None]
            self._books.sent([call.key for call in calls], prompts, entries)
            arrivals = Arrivals(calls, enter)
            outcomes = self.client.ask(prompts, timeout=self.timeout, on_outcome=arrivals)
            self._arrived(list(zip(calls, outcomes, strict=True)))
        finally:
            # Those that an exception left without an outcome.
            lost = TransportError("asking ended in an exception")
            self._arrived([(call, lost) for call in calls if call.waiters])
        self._raise_errors()

    def _may_go(self, call: Call) -> bool:
        """Whether a call may be made; where not, it has its outcome."""
        if self.fatal is not None:
            self._flights.land(call, self.fatal)
            return False
        if all(waiter.future.cancelled() for waiter in call.waiters):
            self._drop(call)
            return False
        entry = self._books.reserve(call.prompt)
        if isinstance(entry, str):
            self.spent = self.spent or entry
            self._flights.land(call, OverBudget(entry))
            return False
        call.entry = entry
        return True

    def _arrived(self, came: list[Arrival]) -> None:
        """Enters outcomes and tells who waits; called from any thread, maybe twice of one."""
        ends = []
        for call, outcome in came:
            if isinstance(outcome, TransportError) and outcome.fatal:
                self.fatal = self.fatal or outcome
            assert call.entry is not None
            ends.append((call.entry, outcome))
        self._books.ended(ends)
        for call, outcome in came:
            self._flights.land(call, outcome)

    def _drop(self, call: Call) -> None:
        """A call that never has its turn."""
        self._flights.land(call, TimedOut(0.0, sent=False))

    def _raise_errors(self) -> None:
        if self._pump.error is not None:
            raise self._pump.error
        if self._books.broken is not None:
            raise self._books.broken
