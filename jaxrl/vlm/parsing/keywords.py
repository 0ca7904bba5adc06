"""Additive keyword rules: each fires once if any of its words is there, and adds its weight."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from jaxrl.vlm.parsing.parsed import Parsed, found, unparsed, unreadable
from jaxrl.vlm.parsing.words import Word, negated, occurrences, phrase, without_echo, words


@dataclasses.dataclass(frozen=True)
class Rule:
    """One line of the table.

    Attributes:
        name: what reports call it.
        any: words or phrases of which one is enough.
        weight: what it adds, once.
    """

    name: str
    any: tuple[str, ...]
    weight: float


@dataclasses.dataclass(frozen=True)
class Keywords:
    """A table of rules.

    In "substring" mode a keyword fires wherever its letters are, in the prompt's echo and after a
    "not" too, as in the paper: "on" fires in "position". It is there to replicate, not to be used.

    Attributes:
        rules: in the order in which they are reported.
        match: "word" or "substring".
        unmatched: the value of a text in which no rule fires; None where that is no answer, so
            that rules which never fire raise an alarm instead of teaching zeros.
    """

    name: str
    digest: str
    rules: tuple[Rule, ...]
    match: Literal["word", "substring"] = "word"
    unmatched: float | None = None
    schema: Mapping[str, Any] | None = None

    def __call__(self, text: str, prompt_text: str = "") -> Parsed:
        """See `Parser`."""
        if (verdict := unreadable(text)) is not None:
            return verdict
        if self.match == "substring":
            folded = text.casefold()
            fired = [r for r in self.rules if any(word.casefold() in folded for word in r.any)]
            denied: list[str] = []
        else:
            fired, denied = self._by_words(words(without_echo(text, prompt_text)))
        note = f"negated: {', '.join(denied)}" if denied else ""
        names = [rule.name for rule in fired]
        if fired:
            # Rounded, so that 0.45 + 2.75 is 3.2 wherever it is compared.
            return found(round(sum(rule.weight for rule in fired), 9), *names, note=note)
        if self.unmatched is not None:
            return found(self.unmatched, note="no rule fired")
        return unparsed("; ".join(filter(None, ["no rule fired", note])))

    def _by_words(self, text: list[Word]) -> tuple[list[Rule], list[str]]:
        """The rules that fire, and the words that would have but for a negation."""
        fired, denied = [], []
        there = {word.text for word in text}
        for rule in self.rules:
            # Most keywords fail at their first word: an answer is read for every frame of a run.
            maybe = [w for w in rule.any if phrase(w)[0] in there or phrase(w)[0].endswith("*")]
            places = [(w, at) for w in maybe for at in occurrences(phrase(w), text)]
            said = [word for word, at in places if not negated(text, at)]
            if said:
                fired.append(rule)
            elif places:
                denied.append(places[0][0])
        return fired, denied
