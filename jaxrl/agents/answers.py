"""From what a model said to an action, or to the reason why it is none.

Models reason before they answer, and name actions while they do: "Let's see: 'fire left' isn't
right". So an action counts where it stands as a decision: in a JSON object, on a line of its own,
at the end, or after words such as "I choose"; and not where it is negated, supposed, or one of a
list. The last decision is taken. In doubt there is none: an action that nobody chose is worse than
asking again.

Only the valid names are looked for, between quotes, brackets or marks of emphasis, so that the
apostrophes of English are never taken for quotes.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxrl.agents.actions import Actions, plain
from jaxrl.agents.phrases import (
    ACTS,
    CLOSING,
    COMPARED,
    CONDITION,
    CUE,
    DECIDED,
    DENIED,
    DESCRIBED,
    DISMISSED,
    ENDS,
    LISTING,
    OPENING,
    REFUSED,
    SUPPOSED,
    TAGGED,
    THOUGHT_BEGINS,
    THOUGHT_ENDS,
    WAYS,
    WITHDRAWN,
    WORD,
)

LONGEST, MOST = 400, 60
"""Characters of a sentence, and names from the last on, that are weighed: small models say the same
over and over till `max_tokens` ends it, and each name takes as long as its sentence is."""


class Reading(NamedTuple):
    """What an answer comes to.

    Attributes:
        action: the environment's: int, or float32 `[D]`; None where there is none.
        problem: why there is none, as one would tell the model; "" where there is one.
    """

    action: Any
    problem: str = ""


class _Found(NamedTuple):
    """A valid name in the text: its choice, the name, and where it stands with its marks."""

    index: int
    name: str
    start: int
    end: int


def read_answer(text: str, actions: Actions, *, complete: bool = True) -> Reading:
    """The action that an answer decides on.

    Args:
        text: what the model said.
        actions: those that there are.
        complete: it was not cut off; where it was, its last word is no decision.
    """
    text = aloud(text)
    if not text.strip():
        return Reading(None, "the answer is empty.")
    if tagged := TAGGED.findall(text):
        text = tagged[-1]
    problem = ""
    for found in reversed(list(json_objects(text))):
        if "action" in found:
            reading = _of_json(found["action"], actions)
            if reading.action is not None:
                return reading
            problem = problem or reading.problem
    if not actions.discrete or problem:
        return Reading(None, problem or 'there is no complete JSON object with an "action" in it.')
    return _of_prose(text, actions, complete)


def aloud(text: str) -> str:
    """The text without what a model thinks to itself between `<think>` and `</think>`.

    Some servers send only the second mark, and an answer may be cut off before it.
    """
    return THOUGHT_BEGINS.split(THOUGHT_ENDS.split(text)[-1])[0]


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object in a text, in order; those inside another are part of it."""
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):  # a number may be too long as well
            end = at + 1
        else:
            if isinstance(value, dict):
                yield value
        at = text.find("{", end)


def _of_json(value: Any, actions: Actions) -> Reading:
    """An action as JSON has it: a name, an object of named numbers, or a list of them."""
    if actions.discrete:
        index = actions.spoken.get(plain(value)) if isinstance(value, str) else None
        named = ", ".join(f'"{name}"' for name in actions.names)
        problem = f'"action" is {json.dumps(value)}, which is none of {named}.'
        return Reading(index, "" if index is not None else problem)
    if isinstance(value, int | float) and len(actions.numbers) == 1:
        value = [value]
    if isinstance(value, list):
        value = dict(zip(actions.names, value, strict=False)) if _as_long(value, actions) else value
    if not isinstance(value, dict) or set(value) != set(actions.names):
        return Reading(
            None, f'"action" is {json.dumps(value)}, needed is one of {_example(actions)}.'
        )
    for number in actions.numbers:
        given = value[number.name]
        is_number = isinstance(given, int | float) and not isinstance(given, bool)
        if not is_number or not number.low <= given <= number.high:  # NaN is neither
            return Reading(
                None,
                f'"{number.name}" is {json.dumps(given)}, needed is a number from {number.low:g} '
                f"to {number.high:g}.",
            )
    return Reading(np.array([value[name] for name in actions.names], np.float32))


def _as_long(value: list[Any], actions: Actions) -> bool:
    return len(value) == len(actions.numbers)


def _example(actions: Actions) -> str:
    return json.dumps({number.name: (number.low + number.high) / 2 for number in actions.numbers})


def _of_prose(text: str, actions: Actions, complete: bool) -> Reading:
    named = ", ".join(f"'{name}'" for name in actions.names)
    if complete and (bare := _bare(text, actions)) is not None:
        return Reading(bare)
    if REFUSED.search(text):
        return Reading(None, f"no action was chosen. Choose one of {named}.")
    found = _candidates(text, actions)
    listed = _listed(text, found)
    kept = [f for f in found if not _denied(text, f)]
    weights = [_weight(text, f, found, complete) for f in kept]
    weighed = [(f, "supposed" if f in listed else w) for f, w in zip(kept, weights, strict=True)]
    strong = [f for f, weight in weighed if weight == "decided"]
    if strong and not WITHDRAWN.search(text, strong[-1].end):
        return Reading(strong[-1].index)
    weak = {f.index for f, weight in weighed if weight == "named"}
    whole = complete and bool(ENDS.search(text))
    if not strong and len(weak) == 1 and len({f.index for f in found}) == 1 and whole:
        return Reading(weak.pop())
    if not complete:
        return Reading(None, f"it was cut off before it ended. Say less, and then one of {named}.")
    if not found:
        return Reading(None, f"none of {named} is in it, in quotes.")
    return Reading(None, f"it does not say which one of {named} is chosen.")


def _candidates(text: str, actions: Actions) -> list[_Found]:
    """The valid names that stand between marks, in order; the last ones of very many."""
    pattern = re.compile(
        rf"(?<![{WORD}])[{OPENING}]+\s*({actions.pattern})\s*[.!,;:]?\s*[{CLOSING}]+(?![{WORD}])",
        re.IGNORECASE,
    )
    spoken = actions.spoken
    last = list(pattern.finditer(text))[-MOST:]
    return [_Found(spoken[plain(m[1])], plain(m[1]), m.start(), m.end()) for m in last]


def _bare(text: str, actions: Actions) -> int | None:
    """The action where the last line is nothing but its name, with or without marks and a cue."""
    lines = [line for line in text.strip().splitlines() if line.strip(" `*_-\t")]
    match = re.fullmatch(
        rf"[\s>*_#`-]*(?:{CUE}[\s*_]*(?:[:：=]|\bis\b)?)?[\s{OPENING}]*({actions.pattern})"  # noqa: RUF001
        rf"[\s.!{CLOSING}]*",
        lines[-1] if lines else "",
        re.IGNORECASE,
    )
    return None if match is None else actions.spoken[plain(match[1])]


def _before(text: str, found: _Found) -> str:
    """The sentence up to the action."""
    return re.split(r"[.!?](?=\s)|\n", text[max(0, found.start - LONGEST) : found.start])[-1]


def _denied(text: str, found: _Found) -> bool:
    """Whether what is around it says that this action is not the one."""
    after = text[found.end : found.end + 60]
    return bool(DENIED.search(_before(text, found)) or DISMISSED.search(after))


def _weight(text: str, found: _Found, all_found: list[_Found], complete: bool) -> str:
    """`decided`, `named`, or `supposed`."""
    before, rest = _before(text, found), text[found.end :]
    described = DESCRIBED.search(before) and not ACTS.search(before)
    if rest.lstrip().startswith("?") or (found.name in WAYS and described):
        return "supposed"
    decided, supposed = DECIDED.search(before), SUPPOSED.search(before)
    settled = decided and not CONDITION.search(before[: decided.start()])
    if settled and (not supposed or supposed.start() < decided.start()):
        return "decided"
    if supposed:
        return "supposed"
    if not complete:
        return "named"
    alone = not before.strip(" \t>*-#") and not rest.partition("\n")[0].strip(" .!`*")
    at_end = not rest.strip(".!。！`'\"*)}]> \n\t")  # noqa: RUF001
    verdict = re.match(r"^\W*is\s+(?:the|my)\s+(?:best|right|correct|safest|final)", rest)
    following = next((f for f in all_found if f.start >= found.end), None)
    compared = following and COMPARED.match(text[found.end : following.start])
    return "decided" if alone or at_end or verdict or compared else "named"


def _listed(text: str, found: list[_Found]) -> set[_Found]:
    """Those that stand in a list beside another action."""
    listed: set[_Found] = set()
    for one, other in itertools.pairwise(found):
        between = text[one.end : other.start]
        # Two lines that each hold nothing but a name are two answers, of which the last counts.
        if one.index != other.index and LISTING.match(between) and between.strip(" \t\n'\"`*"):
            listed |= {one, other}
    return listed
