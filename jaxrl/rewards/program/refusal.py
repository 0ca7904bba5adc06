"""What a program's author is told: the line, the reason, and what to write instead.

The bounds that a program must keep are here too, because every refusal for size quotes one.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Literal

from jaxrl.errors import ProgramError

Gate = Literal["parse", "shape", "finite", "constant", "ranking", "duplicate"]
"""Which of the gates in front of training refused; see `jaxrl.rewards.program.gates`."""

MAX_CHARACTERS = 20_000
"""Length of a program's text."""
MAX_TOKENS = 6_000
"""Words and signs of a program."""
MAX_TOKENS_OF_STATEMENT = 1_500
"""Words and signs of one statement: Python's parser must not recurse without end."""
MAX_BRACKETS = 24
"""Brackets open at once."""
MAX_INDENTS = 12
"""Levels of indentation."""
MAX_NODES = 3_000
"""Nodes of the syntax tree."""
MAX_DEPTH = 80
"""Levels of the syntax tree."""
MAX_LITERAL = 1e9
"""Size of a number that is written down."""
MAX_STATIC = 1e18
"""Size of a number that is computed from such numbers alone."""
MAX_EXPONENT = 16
"""Size of an exponent that is a number."""
MAX_DIGITS_ROUNDED = 15
"""Digits to round to, before or behind the point: ten to their power is computed."""
MAX_AXES = 8
"""Axes of an array."""
MAX_WORK = 65_536
"""Elements of all arrays that one evaluation computes, each as often as it is added up."""
MAX_LOOP = 16
"""Passes of one loop, and elements of a sequence to loop over."""
MAX_SIZE = 4_096
"""Elements of any one array, for one step of one environment."""
MAX_ELEMENTS = 256
"""Elements of any one tuple or dict, those of tuples inside it counted."""
MAX_OPERATIONS = 1_000
"""Operations on arrays in one evaluation; one on a tuple counts as many as it has elements."""
MAX_VISITS = 10_000
"""Nodes visited in one evaluation."""
MAX_NESTING = 160
"""Expressions and statements inside each other in one evaluation, helpers included."""
MAX_CALLS = 4
"""Helpers that call each other."""
MAX_COMPONENTS = 32
"""Components of a reward."""
MAX_NAME = 64
"""Characters of a name."""
MAX_REFUSALS = 20
"""Refusals that are told at once."""


@dataclasses.dataclass(frozen=True)
class Refusal:
    """One reason why a program is not taken.

    Attributes:
        line: line of the program's text, counted from 1; None where the whole is meant.
        reason: what is wrong with what is there.
        advice: what to write instead.
        gate: who refused.
    """

    line: int | None
    reason: str
    advice: str
    gate: Gate = "parse"

    def __str__(self) -> str:
        where = "" if self.line is None else f"line {self.line}: "
        return f"{where}{self.reason}: {self.advice}"


def refuse(line: int | None, reason: str, advice: str, gate: Gate = "parse") -> ProgramError:
    """The error of a single refusal, to be raised."""
    return ProgramError(Refusal(line, reason, advice, gate))


def first_few(refusals: Iterable[Refusal]) -> tuple[Refusal, ...]:
    """The refusals in order of their lines, the same one once, and no more than an author reads."""
    ordered = sorted(set(refusals), key=lambda r: (r.line or 0, r.reason))
    return tuple(ordered[:MAX_REFUSALS])


def for_author(refusals: Iterable[Refusal], source: str) -> str:
    """The refusals as text for whoever wrote the program, each with the line that it means."""
    lines = source.splitlines()
    said = []
    for refusal in refusals:
        said.append(f"- {refusal}")
        if refusal.line is not None and refusal.line <= len(lines):
            said.append(f"      {lines[refusal.line - 1].strip()[:120]}")
    return "\n".join(said)


def quoted(name: object) -> str:
    """A name as a refusal shows it, however long it is."""
    text = repr(name)
    return text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}…"


def nearest(name: str, known: Iterable[str]) -> str:
    """Advice on a name that no table holds: those that are spelled like it, or all there are."""
    known = list(known)
    lowered = {k.lower(): k for k in known}
    # A long name costs the comparison its square.
    near = difflib.get_close_matches(name.lower()[:MAX_NAME], lowered, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(lowered[n] for n in near)}?"
    return f"there are {', '.join(known)}" if known else "there is none"
