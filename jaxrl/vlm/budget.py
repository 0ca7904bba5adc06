"""What asking may cost: the worst case is set aside before a call, and settled when it ends.

So several threads may spend at once, and still no more than the limit is ever spent: a call is
made only if the most that it can cost fits into what neither was spent nor is set aside.
"""

from __future__ import annotations

import dataclasses
import math
import re
import threading

from jaxrl.errors import ConfigError

UNITS = {"usd": "dollars", "call": "calls", "token": "tokens"}
LIMIT = re.compile(r"(\$?)\s*(\d[\d_]*(?:\.\d+)?|\.\d+)\s*([km]?)\s*(usd|calls?|tokens?|)", re.I)


@dataclasses.dataclass(frozen=True)
class Amount:
    """What calls cost. `dollars` is None where nobody knows the price."""

    calls: int = 0
    tokens: int = 0
    dollars: float | None = 0.0

    def __add__(self, other: Amount) -> Amount:
        """Both together; money of an unknown amount counts as none."""
        dollars = (self.dollars or 0.0) + (other.dollars or 0.0)
        return Amount(self.calls + other.calls, self.tokens + other.tokens, dollars)

    def __sub__(self, other: Amount) -> Amount:
        """What is left of it without the other."""
        dollars = (self.dollars or 0.0) - (other.dollars or 0.0)
        return Amount(self.calls - other.calls, self.tokens - other.tokens, dollars)

    def times(self, factor: float) -> Amount:
        """As many calls that cost so many times as much."""
        dollars = None if self.dollars is None else self.dollars * factor
        return Amount(self.calls, math.ceil(self.tokens * factor), dollars)


class Budget:
    """Limits on calls, tokens and money; thread-safe.

    Attributes:
        limit: limit by "calls", "tokens" and "dollars"; what is not in it has none.
        spent: what calls have cost that have ended.
        held: what is set aside for calls whose cost is not known yet.
    """

    def __init__(
        self,
        *,
        calls: int | None = None,
        tokens: int | None = None,
        dollars: float | None = None,
    ) -> None:
        """Limits; None for none.

        Raises:
            ConfigError: a negative limit.
        """
        given = {"calls": calls, "tokens": tokens, "dollars": dollars}
        self.limit = {unit: limit for unit, limit in given.items() if limit is not None}
        for unit, limit in self.limit.items():
            if not (math.isfinite(limit) and limit >= 0):
                raise ConfigError(f"budget: {unit}={limit} is no limit, needed is a number >= 0")
        self.spent = self.held = Amount()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, text: str) -> Budget:
        """A budget as it is typed: "2usd", "1000calls", "50ktokens", or several with commas.

        Raises:
            ConfigError: the text is no budget, or limits the same thing twice.
        """
        limits: dict[str, float] = {}
        for part in text.split(","):
            match = LIMIT.fullmatch(part.strip())
            if match is None or bool(match[1]) == bool(match[4]):
                raise ConfigError(
                    f"budget {text!r}: {part.strip()!r} is no limit; write '2usd', '1000calls' or "
                    "'50ktokens', several with commas: '2usd,1000calls'"
                )
            unit = "dollars" if match[1] else UNITS[match[4].lower().removesuffix("s")]
            if unit in limits:
                raise ConfigError(f"budget {text!r} limits {unit} twice: give one limit")
            scale = {"": 1, "k": 1_000, "m": 1_000_000}[match[3].lower()]
            limits[unit] = float(match[2].replace("_", "")) * scale
        whole = {unit: limit if unit == "dollars" else int(limit) for unit, limit in limits.items()}
        return cls(**whole)  # type: ignore[arg-type]

    def reserve(self, worst: Amount) -> str | None:
        """Sets aside the most that a call can cost; returns why it cannot, or None if it did."""
        with self._lock:
            after = self.spent + self.held + worst
            for unit, limit in self.limit.items():
                # Dollars are sums of floats: a limit of 3 calls at 0.1 must let 3 calls through.
                if getattr(after, unit) > limit + (1e-9 if unit == "dollars" else 0):
                    needed, gone = getattr(worst, unit), getattr(self.spent, unit)
                    return (
                        f"budget: {_say(unit, gone)} of {_say(unit, limit)} spent, "
                        f"{_say(unit, getattr(self.held, unit))} set aside for calls under way, "
                        f"the next may take {_say(unit, needed)}"
                    )
            self.held += worst
            return None

    def settle(self, worst: Amount, actual: Amount) -> None:
        """Replaces what was set aside for a call by what it cost."""
        with self._lock:
            self.held -= worst
            self.spent += actual

    def carry(self, earlier: Amount) -> None:
        """Counts what earlier runs on the same store have spent."""
        with self._lock:
            self.spent += earlier

    def __str__(self) -> str:
        """Spent of limit, e.g. "$0.12 of $2.00, 96 of 1000 calls"."""
        parts = [
            f"{_figure(unit, getattr(self.spent, unit))} of {_say(unit, limit)}"
            for unit, limit in self.limit.items()
        ]
        return ", ".join(reversed(parts))


def _figure(unit: str, value: float | None) -> str:
    if unit != "dollars":
        return str(value)
    value = value or 0.0
    return f"${value:.2f}" if value == 0 or value >= 0.1 else f"${value:.4f}"


def _say(unit: str, value: float | None) -> str:
    return _figure(unit, value) + ("" if unit == "dollars" else f" {unit}")
