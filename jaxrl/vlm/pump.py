"""Hands on what is put into it, in batches, on a thread of its own."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Pump(Generic[Item]):
    """A bounded queue whose items are gathered into batches.

    Attributes:
        error: what `work` raised, or None. Nothing is pumped after that.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], None],
        drop: Callable[[Item], None],
        *,
        batch: int,
        room: int,
    ) -> None:
        """Starts no thread before there is something to do.

        Args:
            work: is given one batch after the other.
            drop: is given what never has its turn, because of an error or the end.
            batch: items that are handed on together at most.
            room: items that wait at most.
        """
        self._work, self._drop = work, drop
        self._batch, self._room = batch, room
        self._waiting: collections.deque[Item] = collections.deque()
        self._busy = False
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "asker")
        self.error: BaseException | None = None

    def put(self, items: Sequence[Item]) -> None:
        """Lets items wait for their turn; drops those for which there is no room."""
        with self._lock:
            room = 0 if self.error else self._room - len(self._waiting)
            self._waiting.extend(items[:room])
            self._start()
        for item in items[room:]:
            self._drop(item)

    def close(self) -> None:
        """Drops what waits. The batch under way goes on; see `join`."""
        with self._lock:
            items = list(self._waiting)
            self._waiting.clear()
        for item in items:
            self._drop(item)

    def join(self) -> None:
        """Waits for the batch under way."""
        self._thread.shutdown()

    def _start(self) -> None:
        """Has one batch taken, if there is any and none is under way."""
        if self._waiting and not self._busy:
            self._busy = True
            # One batch at a time, so that an interpreter that ends waits for no more than that.
            self._thread.submit(self._turn).add_done_callback(self._ended)

    def _turn(self) -> None:
        with self._lock:
            size = min(self._batch, len(self._waiting))
            items = [self._waiting.popleft() for _ in range(size)]
        self._work(items)
        with self._lock:
            self._busy = False
            self._start()

    def _ended(self, turn: Future[None]) -> None:
        if (error := turn.exception()) is None:
            return
        with self._lock:
            self.error = error
        self.close()
