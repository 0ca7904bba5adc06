"""What a parser is and what it gives back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Protocol

LONGEST = 20_000
"""Characters of an answer that are looked at; a longer one is unparsed."""


@dataclasses.dataclass(frozen=True)
class Parsed:
    """What an answer was taken to say.

    Attributes:
        value: the reward that it stands for; NaN unless `ok`.
        ok: the answer has the evidence that the parser needs.
        fired: which rules, or which words, the value comes from.
        note: why it is not ok, or what else was noticed.
        reading: what was read before it was turned into a reward (degrees, say), to be compared
            with the truth; NaN unless `ok`. The same as `value` where a parser turns nothing.
    """

    value: float
    ok: bool
    fired: tuple[str, ...] = ()
    note: str = ""
    reading: float = math.nan


def found(value: float, *fired: str, note: str = "", reading: float | None = None) -> Parsed:
    """A text that says something."""
    return Parsed(value, True, fired, note, value if reading is None else reading)


def unparsed(note: str, *fired: str) -> Parsed:
    """A text that does not say what was asked for."""
    return Parsed(math.nan, False, fired, note)


def unreadable(text: str) -> Parsed | None:
    """The verdict on a text that no parser looks at, or None."""
    if not text.strip():
        return unparsed("the answer is empty")
    if len(text) > LONGEST:
        return unparsed(f"the answer has more than {LONGEST} characters")
    return None


class Parser(Protocol):
    """Reads answers.

    Attributes:
        name: the file's.
        digest: SHA-256 of the file: other rules are another experiment.
        schema: JSON schema that the answer must follow, or None.
    """

    name: str
    digest: str
    schema: Mapping[str, Any] | None

    def __call__(self, text: str, prompt_text: str = "") -> Parsed:
        """Reads one answer; what it repeats of the prompt's own text is no evidence."""
        ...
