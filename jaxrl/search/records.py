"""What the host keeps of a search. Plain data: what is written is what is read back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A program as its author gave it.

    Attributes:
        source: the text.
        parent: id of the program that it was made from, or None.
        note: what the author said of it.
    """

    source: str
    parent: str | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Curves:
    """A candidate's evaluations, `P` points by `S` seeds, means over the rollouts of a point.

    Attributes:
        steps: environment steps per seed at each point.
        fitness: return in the environment's own reward, `[P, S]`.
        generated: return in the candidate's reward.
        length: steps of an episode.
        components: mean per step of each component.
    """

    steps: tuple[int, ...]
    fitness: np.ndarray
    generated: np.ndarray
    length: np.ndarray
    components: Mapping[str, np.ndarray]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "steps": list(self.steps),
            "fitness": numbers(self.fitness),
            "generated": numbers(self.generated),
            "length": numbers(self.length),
            "components": {name: numbers(x) for name, x in self.components.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Curves:
        """What `to_json` gave."""
        return cls(
            steps=tuple(data["steps"]),
            fitness=array(data["fitness"]),
            generated=array(data["generated"]),
            length=array(data["length"]),
            components={name: array(values) for name, values in data["components"].items()},
        )


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A proposal and what came of it.

    Attributes:
        proposal: as its author gave it.
        program: its id; None where it was refused as text.
        refusals: why it was not trained, with lines, as shown to its author; "" if it was.
        diverged: per seed, the update after which its numbers were not finite, else None.
        curves: its evaluations while it trained, or None.
        fitness: per seed, mean native return of the final policy over rollouts that nothing else
            was decided by; empty where it was not trained or a seed diverged.
    """

    proposal: Proposal
    program: str | None = None
    refusals: str = ""
    diverged: tuple[int | None, ...] = ()
    curves: Curves | None = None
    fitness: tuple[float, ...] = ()

    @property
    def score(self) -> float | None:
        """Mean fitness over seeds; None for a candidate that has none."""
        return float(np.mean(self.fitness)) if self.fitness else None

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return plain | {
            "proposal": dataclasses.asdict(self.proposal),
            "curves": None if self.curves is None else self.curves.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Candidate:
        """What `to_json` gave."""
        curves = data["curves"]
        return cls(
            Proposal(**data["proposal"]),
            data["program"],
            data["refusals"],
            tuple(data["diverged"]),
            None if curves is None else Curves.from_json(curves),
            tuple(data["fitness"]),
        )


@dataclasses.dataclass(frozen=True)
class Iteration:
    """One round: what was proposed, and what came of it.

    Attributes:
        number: counted from 0.
        candidates: in the order in which they were proposed.
        seconds: what proposing, compiling, training and evaluating took.
        error: why there was no proposal, or "".
        shots: number of screenshots of the best candidate that the folder holds.
    """

    number: int
    candidates: tuple[Candidate, ...]
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    error: str = ""
    shots: int = 0

    @property
    def best(self) -> int | None:
        """The candidate of the highest score; None where none has one."""
        scores = [-math.inf if c.score is None else c.score for c in self.candidates]
        return int(np.argmax(scores)) if scores and max(scores) > -math.inf else None

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return dataclasses.asdict(dataclasses.replace(self, candidates=())) | {
            "candidates": [candidate.to_json() for candidate in self.candidates]
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Iteration:
        """What `to_json` gave."""
        candidates = tuple(Candidate.from_json(one) for one in data["candidates"])
        return cls(**{**data, "candidates": candidates})


def best_of(history: tuple[Iteration, ...] | list[Iteration]) -> tuple[int, int] | None:
    """`(iteration, candidate)` of the highest score so far, or None.

    Of equals the last: where no child is better, its author goes on from another program.
    """
    found = [(i.candidates[i.best].score, i.number, i.best) for i in history if i.best is not None]
    return max(found)[1:] if found else None


def numbers(values: np.ndarray) -> list[Any]:
    """An array as nested lists, None for what is not finite."""
    if values.ndim:
        return [numbers(row) for row in values]
    return float(values) if np.isfinite(values) else None


def array(values: Any) -> np.ndarray:
    """What `numbers` gave, NaN for None."""
    return np.array(values, np.float64)
