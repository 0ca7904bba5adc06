"""One of a few options: yes or no, first or second or equal."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from jaxrl.vlm.parsing.parsed import Parsed, found, unparsed, unreadable
from jaxrl.vlm.parsing.words import Word, negated, occurrences, phrase, without_echo, words

FILLERS = {
    "the", "a", "an", "so", "therefore", "thus", "final", "my", "answer", "verdict", "choice",
    "is", "it's", "its", "it", "would", "be", "i", "choose", "say", "image", "picture", "one",
}  # fmt: skip
"""Words around an option that leave a sentence a verdict: "So my final answer is: yes"."""


@dataclasses.dataclass(frozen=True)
class Option:
    """One answer: what it is called, the words that say it, and what it is worth."""

    name: str
    any: tuple[str, ...]
    value: float


@dataclasses.dataclass(frozen=True)
class Choice:
    """Finds the option that a text decides for.

    A verdict is a sentence that says nothing but an option, or a first sentence that begins with
    one ("Yes, because…"). Verdicts for different options are no answer.

    Attributes:
        options: what can be chosen.
        anywhere: where there is no verdict, whether an option that is the only one to be named
            is the answer. Not for yes and no: "no legs are broken" is no answer.
    """

    name: str
    digest: str
    options: tuple[Option, ...]
    anywhere: bool = False
    schema: Mapping[str, Any] | None = None

    def __call__(self, text: str, prompt_text: str = "") -> Parsed:
        """See `Parser`."""
        if (verdict := unreadable(text)) is not None:
            return verdict
        said = words(without_echo(text, prompt_text))
        chosen = self._verdicts(said)
        if not chosen and self.anywhere:
            chosen = [option for option in self.options if self._named(option, said)]
        names = sorted({option.name for option in chosen})
        if len(names) > 1:
            return unparsed(f"undecided between {' and '.join(names)}", *names)
        if not names:
            return unparsed(f"none of {', '.join(option.name for option in self.options)}")
        return found(chosen[0].value, *names)

    def _verdicts(self, text: Sequence[Word]) -> list[Option]:
        chosen = []
        sentences = [list(group) for _, group in groupby(text, key=lambda word: word.sentence)]
        for number, sentence in enumerate(sentences):
            opening = [word for word in sentence if word.clause == sentence[0].clause]
            for part in (sentence, opening) if number == 0 else (sentence,):
                chosen += self._whole(part)
        return chosen

    def _whole(self, part: Sequence[Word]) -> list[Option]:
        """The option that is all that these words say, in a list; [] for none."""
        core = [word for word in part if word.text not in FILLERS]
        for option in self.options:
            for way in option.any:
                wanted = phrase(way)
                for said in (core, part):
                    if len(said) == len(wanted) and occurrences(wanted, said):
                        return [option]
        return []

    def _named(self, option: Option, text: Sequence[Word]) -> bool:
        places = [at for way in option.any for at in occurrences(phrase(way), text)]
        return any(not negated(text, at) for at in places)
