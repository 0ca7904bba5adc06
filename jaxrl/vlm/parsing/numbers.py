"""A number with its unit, from anywhere in a text, signed by a side that the text names."""

from __future__ import annotations

import bisect
import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jaxrl.vlm.parsing.parsed import Parsed, found, unparsed, unreadable
from jaxrl.vlm.parsing.words import Word, negated, occurrences, phrase, without_echo, words

SPELLED = {
    "zero": 0.0, "one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "six": 6.0,
    "seven": 7.0, "eight": 8.0, "nine": 9.0, "ten": 10.0, "eleven": 11.0, "twelve": 12.0,
}  # fmt: skip
NUMBER = rf"(?P<sign>[-+−]?)(?P<number>\d+(?:\.\d+)?|\b(?:{'|'.join(SPELLED)})\b)"  # noqa: RUF001
BEFORE = r"(?<![\d.,])(?<![\w][-−–])"  # noqa: RUF001
"""A number does not begin inside another, nor after a dash: "5-10 degrees" is none of the two."""
SPAN = re.compile(rf"(?:\d|\b(?:{'|'.join(SPELLED)}))\s*(?:or|to|and|through)\s*$", re.I)
"""What stands before the second number of "5 or 6 degrees"."""


@dataclasses.dataclass(frozen=True)
class Number:
    """Reads one number.

    A text with several different numbers, with a number and no side, or with both sides, says
    nothing that could be told from a guess: it is unparsed, as is a number out of range.

    Attributes:
        unit: ways of writing the unit, which must follow the number; () for none.
        low, high: the valid range, sign included.
        sides: sign by word, e.g. left -1, right 1; {} where the number has no side.
        reward: points `(reading, reward)` of a broken line from what was read to the reward; ()
            where the reading is the reward. Beyond its ends the line is flat.
    """

    name: str
    digest: str
    unit: tuple[str, ...]
    low: float
    high: float
    sides: Mapping[str, float]
    reward: tuple[tuple[float, float], ...] = ()
    schema: Mapping[str, Any] | None = None

    def __call__(self, text: str, prompt_text: str = "") -> Parsed:
        """See `Parser`."""
        if (verdict := unreadable(text)) is not None:
            return verdict
        text = without_echo(text, prompt_text)
        matches = list(self._pattern().finditer(text))
        if not matches:
            return unparsed(f"no number{' of ' + self.unit[0] if self.unit else ''}")
        values = {_value(match) for match in matches}
        if len(values) > 1:
            return unparsed(f"several numbers: {', '.join(f'{v:g}' for v in sorted(values))}")
        value, where = values.pop(), matches[0]
        if any(SPAN.search(text, 0, match.start()) for match in matches):
            return unparsed(f"a range that ends at {where[0]}")
        if self.sides and value != 0:
            side = self._side(words(text), where.start())
            if isinstance(side, str):
                return unparsed(side, where[0])
            word, sign = side
            if where["sign"] and math.copysign(1, value) != sign:
                return unparsed(f"{where[0]} and {word} contradict each other", where[0], word)
            value, fired = sign * abs(value), (where[0], word)
        else:
            fired = (where[0],)
        if not self.low <= value <= self.high:
            return unparsed(f"{value:g} is outside {self.low:g} to {self.high:g}", *fired)
        return found(self._rewarded(value), *fired, reading=value)

    def _pattern(self) -> re.Pattern[str]:
        if not self.unit:
            return re.compile(BEFORE + NUMBER + r"(?![\w%°]|[.,]\d|[-−–]\d)", re.I)  # noqa: RUF001
        units = "|".join(re.escape(u) for u in sorted(self.unit, key=len, reverse=True))
        return re.compile(rf"{BEFORE}{NUMBER}[\s*-]*(?:{units})(?!\w)", re.I)

    def _side(self, text: Sequence[Word], at: int) -> tuple[str, float] | str:
        """The side that is named with the number, else in the whole text; or why there is none."""
        named = [
            (word, sign, text[place])
            for word, sign in self.sides.items()
            for place in occurrences(phrase(word), text)
            if not negated(text, place)
        ]
        own = next((word for word in reversed(text) if word.start <= at), None)
        near = [n for n in named if own is not None and n[2].sentence == own.sentence] or named
        if not near:
            return f"no side: one of {', '.join(self.sides)}"
        if len({sign for _, sign, _ in near}) > 1:
            return f"both sides: {', '.join(sorted({word for word, _, _ in near}))}"
        return near[0][:2]

    def _rewarded(self, value: float) -> float:
        if not self.reward:
            return value
        at = bisect.bisect(self.reward, (value, math.inf))
        if at == 0 or at == len(self.reward):
            return self.reward[max(at - 1, 0)][1]
        (x0, y0), (x1, y1) = self.reward[at - 1], self.reward[at]
        return y0 + (y1 - y0) * (value - x0) / (x1 - x0)


def _value(match: re.Match[str]) -> float:
    text = match["number"].casefold()
    value = SPELLED[text] if text in SPELLED else float(text)
    return -value if match["sign"] in ("-", "−") else value  # noqa: RUF001
