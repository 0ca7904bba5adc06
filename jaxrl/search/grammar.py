"""An author with no model behind it: terms over the described quantities, composed and mutated.

It knows the schema and nothing of the task: which quantities there are, and that they have a value
before and after a step. It is the baseline that a language model must beat, with the same number of
candidates, the same training and the same selection.

A program is a weighted sum of up to `MAX_TERMS` terms, each a component:

====================  ======================================================================
`1`                   a step that was survived
`q`, `abs(q)`, `q²`   a quantity after the step
`exp(-q² / w²)`       nearness of a quantity to zero
`q - q'`              how much a quantity changed in the step
`abs(q - q')`         that it changed, whichever way
`q · r`               two quantities together
`q > r`               one quantity beyond another, or beyond its negative
====================  ======================================================================

Weights are of either sign and log-uniform over two decades. A generation is children of the best
program so far, by one to three mutations each, and one newcomer; the first is of newcomers alone.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from jaxrl.errors import ConfigError
from jaxrl.rewards.program import Schema, Steps
from jaxrl.search.records import Iteration, Proposal, best_of

MAX_TERMS = 6
FIRST_TERMS = 3
"""Terms that a newcomer has at most."""
ATTEMPTS = 50
"""Draws of a program that was not there before."""

Kind = Literal["alive", "value", "size", "square", "near", "change", "moved", "product", "beyond"]
PLAIN: tuple[Kind, ...] = ("value", "size", "square", "near", "change", "moved")
PAIRED: tuple[Kind, ...] = ("product", "beyond")
MARK = "# genes: "


@dataclasses.dataclass(frozen=True)
class Term:
    """One component.

    Attributes:
        kind: see the module.
        first, second: quantities; "" where the kind has none.
        weight: its factor.
        scale: what a quantity is divided by before it is squared for nearness.
    """

    kind: Kind
    first: str
    second: str
    weight: float
    scale: float = 1.0

    @property
    def name(self) -> str:
        """The component's name."""
        return "_".join(part for part in (self.kind, self.first, self.second) if part)

    @property
    def code(self) -> str:
        """Its expression, without the weight."""
        q, r = (f'next_state["{name}"] * 1.0' for name in (self.first, self.second))
        before = f'state["{self.first}"] * 1.0'
        return {
            "alive": "1.0",
            "value": q,
            "size": f"jnp.abs({q})",
            "square": f"({q}) ** 2",
            "near": f"jnp.exp(-(({q}) / {self.scale:.4g}) ** 2)",
            "change": f"{q} - {before}",
            "moved": f"jnp.abs({q} - {before})",
            "product": f"{q} * {r}",
            "beyond": f"jnp.where({q} > {r}, 1.0, 0.0)",
        }[self.kind]


class Grammar:
    """A proposer; see `jaxrl.search.propose.Proposer`.

    Attributes:
        name: "grammar".
    """

    name = "grammar"

    def __init__(self, schema: Schema, seed: int = 0, steps: Steps | None = None) -> None:
        """What it may use is decided here.

        Args:
            schema: whose quantities it uses, those that are single numbers.
            seed: of all that it draws; an iteration's draws do not depend on earlier ones.
            steps: stored steps; a quantity that is the same on all of them is not used.

        Raises:
            ConfigError: no quantity is left.
        """
        self.seed = seed
        self.names = [
            q.name
            for q in schema.quantities
            if q.shape == () and (steps is None or np.ptp(steps.next_state[q.name] * 1.0) > 0)
        ]
        if not self.names:
            raise ConfigError(
                f"{schema.env} describes no quantity that is a single number, of which the grammar "
                "could make a program: take a model as --proposer."
            )

    def propose(self, history: Sequence[Iteration], count: int, images: Any = ()) -> list[Proposal]:
        """`count` programs that were not proposed before; `images` are not looked at."""
        del images
        rng = np.random.default_rng([self.seed, len(history)])
        known = {c.proposal.source for i in history for c in i.candidates}
        parent, parent_id = self._parent(history)
        proposals: list[Proposal] = []
        for index in range(count):
            fresh = parent is None or index == count - 1 > 0
            text = ""
            for _ in range(ATTEMPTS):
                text = write(self._newcomer(rng) if fresh else self._child(parent, rng))
                if text not in known:
                    break
            known.add(text)
            note = "a newcomer" if fresh else "a child of the best so far"
            proposals.append(Proposal(text, None if fresh else parent_id, note))
        return proposals

    def close(self) -> None:
        """Has nothing to let go of."""

    def cost(self) -> dict[str, Any]:
        """It is free."""
        return {}

    def _parent(self, history: Sequence[Iteration]) -> tuple[Any, str | None]:
        found = best_of(list(history))
        if found is None:
            return None, None
        candidate = history[found[0]].candidates[found[1]]
        return read(candidate.proposal.source), candidate.program

    def _newcomer(self, rng: np.random.Generator) -> list[Term]:
        terms = [self._term(rng) for _ in range(rng.integers(1, FIRST_TERMS + 1))]
        if rng.random() < 0.5:
            terms.append(Term("alive", "", "", _size(rng)))
        return _distinct(terms)

    def _term(self, rng: np.random.Generator) -> Term:
        kinds = (*PLAIN, *PAIRED)
        kind = kinds[rng.integers(len(kinds))]
        first = self.names[rng.integers(len(self.names))]
        second = self.names[rng.integers(len(self.names))] if kind in PAIRED else ""
        sign = 1.0 if rng.random() < 0.5 else -1.0
        return Term(kind, first, second, sign * _size(rng), _size(rng))

    def _child(self, parent: list[Term], rng: np.random.Generator) -> list[Term]:
        terms = list(parent)
        for _ in range(rng.integers(1, 4)):
            change = rng.random()
            if change < 0.4 and len(terms) < MAX_TERMS:
                terms.append(self._term(rng))
            elif change < 0.55 and len(terms) > 1:
                terms.pop(rng.integers(len(terms)))
            elif change < 0.65 or len(terms) == 1:
                # The weight of an only term changes nothing: rewards are scaled.
                terms[rng.integers(len(terms))] = self._term(rng)
            else:
                at = rng.integers(len(terms))
                factor = math.exp(rng.normal(0.0, 1.0))
                terms[at] = dataclasses.replace(terms[at], weight=terms[at].weight * factor)
        return _distinct(terms)


def write(terms: Sequence[Term]) -> str:
    """The program of some terms; its last line holds them, for `read`."""
    lines = ["def reward(state, action, next_state):"]
    lines += [f"    c{i} = {term.weight:.4g} * ({term.code})" for i, term in enumerate(terms)]
    total = " + ".join(f"c{i}" for i in range(len(terms)))
    parts = ", ".join(f'"{term.name}": c{i}' for i, term in enumerate(terms))
    lines.append(f"    return {total}, {{{parts}}}")
    lines.append(MARK + json.dumps([dataclasses.astuple(term) for term in terms]))
    return "\n".join(lines) + "\n"


def read(source: str) -> list[Term] | None:
    """The terms of a program that `write` wrote; None for another's."""
    last = source.rstrip().rpartition("\n")[2]
    if not last.startswith(MARK):
        return None
    return [Term(*genes) for genes in json.loads(last.removeprefix(MARK))]


def _size(rng: np.random.Generator) -> float:
    """Log-uniform in [0.1, 10]."""
    return float(f"{10 ** rng.uniform(-1.0, 1.0):.4g}")


def _distinct(terms: Sequence[Term]) -> list[Term]:
    """The terms, of those with one name the last, and no more than are allowed."""
    return list({term.name: term for term in terms}.values())[:MAX_TERMS]
