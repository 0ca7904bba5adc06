"""What an agent may do, in words: named choices, or numbers between bounds.

Models never see an action's number. What they say is a name, or a JSON object of named numbers;
`answers.py` turns it into what the environment takes.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxrl import spaces
from jaxrl.errors import SpaceError, unknown_name


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of several actions.

    Attributes:
        name: what a model says for it.
        meaning: what it does.
        aliases: other names that mean nothing else.
    """

    name: str
    meaning: str
    aliases: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Number:
    """One number of a continuous action: its name, what it does, its bounds and unit."""

    name: str
    meaning: str
    low: float
    high: float
    unit: str = ""


@dataclasses.dataclass(frozen=True)
class Actions:
    """All actions of an environment: either choices, in the environment's order, or numbers."""

    choices: tuple[Choice, ...] = ()
    numbers: tuple[Number, ...] = ()

    @property
    def discrete(self) -> bool:
        """Whether one of several is taken."""
        return bool(self.choices)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the choices, or of the numbers."""
        return tuple(part.name for part in self.choices or self.numbers)

    @functools.cached_property
    def spoken(self) -> Mapping[str, int]:
        """Every name and alias, `plain`, to the number of its choice."""
        return {
            plain(word): index
            for index, choice in enumerate(self.choices)
            for word in (choice.name, *choice.aliases)
        }

    @functools.cached_property
    def pattern(self) -> str:
        """Any name or alias as a regular expression, longest first, its spaces `-`, `_` or more."""
        words = sorted(self.spoken, key=len, reverse=True)
        return "|".join(r"[\s_-]+".join(map(re.escape, word.split(" "))) for word in words)

    def index(self, name: str) -> int:
        """The number of the choice of that name; UnknownNameError for another."""
        found = self.spoken.get(plain(name))
        if found is None:
            raise unknown_name("action", name, self.names)
        return found

    def say(self, action: Any) -> str:
        """An action of the environment in words: a name, or `main=0.5 side=-1`."""
        if self.discrete:
            return self.choices[int(action)].name
        pairs = zip(self.numbers, np.ravel(action), strict=True)
        return " ".join(f"{number.name}={value:.4g}" for number, value in pairs)

    def lines(self) -> list[str]:
        """What each does, one line each, for a prompt."""
        if self.discrete:
            return [f"- '{choice.name}': {choice.meaning}" for choice in self.choices]
        return [
            f"- {n.name}: a number from {n.low:g} to {n.high:g}{f' {n.unit}' if n.unit else ''}, "
            f"{n.meaning}"
            for n in self.numbers
        ]

    def schema(self) -> dict[str, Any]:
        """JSON schema of an answer: reasoning first, then the action."""
        if self.discrete:
            action: dict[str, Any] = {"type": "string", "enum": list(self.names)}
        else:
            action = _closed(
                {
                    n.name: {"type": "number", "minimum": n.low, "maximum": n.high}
                    for n in self.numbers
                }
            )
        return _closed({"reasoning": {"type": "string"}, "action": action})


def _closed(properties: Mapping[str, Any]) -> dict[str, Any]:
    """An object with these properties, all required, and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def plain(word: str) -> str:
    """A name as it is compared: lower case, one space where there were spaces, `-` or `_`."""
    return re.sub(r"[\s_-]+", " ", word).strip().lower()


def numbered(space: Any) -> Actions:
    """Words for a space whose meaning nobody has written down.

    Raises:
        SpaceError: neither discrete nor a box of one axis.
    """
    if spaces.is_discrete(space):
        return Actions(
            tuple(Choice(f"action {i}", f"the environment's action {i}") for i in range(space.n))
        )
    size = spaces.action_size(space)
    low, high = (np.asarray(bound) for bound in spaces.bounds(space))
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise SpaceError(
            f"the actions of {space!r} have no bounds, and a model needs some: bound them in a "
            "wrapper of the environment."
        )
    return Actions(
        numbers=tuple(
            Number(f"a{i}", f"component {i} of the action", float(low[i]), float(high[i]))
            for i in range(size)
        )
    )
