"""Texts as words: where clauses end, what is negated, what only repeats the prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
ENDS_CLAUSE = re.compile(r"[,;:.!?)(]+(?=[\s*\"'”]|$)|[;\n—–]|\s-\s")
ENDS_SENTENCE = re.compile(r"[.!?]+(?=[\s*\"'”)]|$)|\n")

NEGATIONS = frozenset(
    ["not", "no", "never", "neither", "nor", "without", "cannot", "hardly", "barely", "non", "un"]
)
NEGATING_PHRASES = (("far", "from"), ("away", "from"), ("outside", "of"), ("instead", "of"))
REACH = 3
"""Words between a negation and what it negates, at most: "not quite inside"."""

ECHO_RUN = 8
ECHO_SENTENCE = 4
"""Words of the prompt that an answer repeats by chance at most: in a row, and as a sentence."""


class Word(NamedTuple):
    """One word: in lower case, where it stands, and in which clause and sentence."""

    text: str
    start: int
    end: int
    clause: int
    sentence: int


def words(text: str) -> list[Word]:
    """The words of a text. Hyphens part words: "non-stable" is two."""
    clauses = [match.end() for match in ENDS_CLAUSE.finditer(text)]
    sentences = [match.end() for match in ENDS_SENTENCE.finditer(text)]
    result, clause, sentence = [], 0, 0
    for match in WORD.finditer(text):
        while clause < len(clauses) and clauses[clause] <= match.start():
            clause += 1
        while sentence < len(sentences) and sentences[sentence] <= match.start():
            sentence += 1
        word = match[0].casefold().replace("’", "'")
        result.append(Word(word, match.start(), match.end(), clause, sentence))
    return result


@lru_cache(4096)
def phrase(text: str) -> tuple[str, ...]:
    """A keyword as words; "tilt*" stands for every word that begins so."""
    pieces = re.findall(r"[^\W_]+(?:['’][^\W_]+)*\*?", text.casefold())
    return tuple(piece.replace("’", "'") for piece in pieces)


def occurrences(keyword: Sequence[str], text: Sequence[Word]) -> list[int]:
    """Where a keyword of one or more words begins."""
    first, last = keyword[0], len(text) - len(keyword)
    if first.endswith("*"):
        begins = [i for i, word in enumerate(text) if word.text.startswith(first[:-1])]
    else:
        begins = [i for i, word in enumerate(text) if word.text == first]
    return [i for i in begins if i <= last and all(map(_is, keyword, text[i : i + len(keyword)]))]


def _is(wanted: str, word: Word) -> bool:
    return word.text.startswith(wanted[:-1]) if wanted.endswith("*") else word.text == wanted


def negated(text: Sequence[Word], index: int) -> bool:
    """Whether a word stands shortly after a negation in its own clause.

    "not only inside" and "no doubt inside" negate nothing.
    """
    before = [
        word.text
        for word in text[max(0, index - REACH) : index]
        if word.clause == text[index].clause
    ]
    for place, word in enumerate(before):
        after = before[place + 1] if place + 1 < len(before) else ""
        if after in ("only", "just", "doubt") and word in ("not", "no"):
            continue
        if word in NEGATIONS or word.endswith("n't") or (word, after) in NEGATING_PHRASES:
            return True
    return False


def without_echo(text: str, prompt_text: str) -> str:
    """The text without what it repeats of the prompt: whole sentences, and runs of eight words."""
    echoes, answer = _echoes(prompt_text), words(text)
    repeated = [False] * len(answer)
    plain = [word.text for word in answer]
    for size, runs in echoes.items():
        for start in range(len(plain) - size + 1):
            if tuple(plain[start : start + size]) in runs:
                repeated[start : start + size] = [True] * size
    pieces, end = [], 0
    for word, gone in zip(answer, repeated, strict=True):
        if gone:
            pieces.append(text[end : word.start])
            end = word.end
    return " ".join([*pieces, text[end:]])


@lru_cache(64)
def _echoes(prompt_text: str) -> dict[int, set[tuple[str, ...]]]:
    """What of a prompt would be an echo: runs of words by their length."""
    prompt = words(prompt_text)
    plain = [word.text for word in prompt]
    runs = {ECHO_RUN: {tuple(plain[i : i + ECHO_RUN]) for i in range(len(plain) - ECHO_RUN + 1)}}
    for _, group in groupby(prompt, key=lambda word: word.sentence):
        sentence = tuple(word.text for word in group)
        if ECHO_SENTENCE <= len(sentence) < ECHO_RUN:  # longer ones have their runs
            runs.setdefault(len(sentence), set()).add(sentence)
    return runs
