"""The question that a prompt asks, and its answer from what is seen.

Of the prompt's words only the kind of question is taken, and what it is about; numbers in it are
never looked at, so that nothing is answered that a picture does not show.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxrl.vlm.captioner import acrobot, breakout, cartpole, lunar_lander, pendulum, snake
from jaxrl.vlm.captioner.aspects import Caption
from jaxrl.vlm.captioner.words import caption
from jaxrl.vlm.messages import Prompt

SCENES = (cartpole, lunar_lander, snake, acrobot, pendulum, breakout)
UNKNOWN = "I cannot tell what this picture shows."
NO_PICTURE = "I see no picture."
NOT_SHOWN = "I cannot tell that from the picture."
SAME = 0.005
"""Pictures whose nearness to a goal differs by less are equal."""

COMPARES = re.compile(r"\b(which|compare|nearer|better|prefer)", re.I)
ASKS_YES_NO = re.compile(r"\byes\b.{0,20}\bno\b", re.I | re.S)
ASKS_DEGREES = re.compile(r"\b(degrees?|angle)\b", re.I)
ASKS_WHOLE = re.compile(r"\bwhole (number|degree)", re.I)
ASKS_SCORE = re.compile(r"\b(score|rate|rating)\b", re.I)
ASKS_JSON = re.compile(r"\bjson\b", re.I)
ASKS_BRIEF = re.compile(r"\b(short|brief|one sentence)", re.I)
ASKS_KM = re.compile(r"\b(km|kilomet)", re.I)
SCORE_SCHEMA = {
    "type": "object",
    "properties": {
        "reason": {"type": "string"},
        "score": {"type": "number", "minimum": 0, "maximum": 10},
    },
}
"""What is filled in where a prompt asks for JSON and has no schema."""


def see(frame: np.ndarray) -> Any | None:
    """The facts of a picture, uint8 `[H, W, 3]`: a dataclass of its scene; None if unknown."""
    for scene in SCENES:
        facts = scene.see(frame)
        if facts is not None:
            return facts
    return None


def answer(prompt: Prompt) -> str:
    """What is to be said to a prompt, from the pictures of its last turn."""
    turn = prompt.turns[-1]
    facts = [see(image.to_array()) for image in turn.images]
    if not facts:
        return NO_PICTURE
    if any(one is None for one in facts):
        return UNKNOWN if len(facts) == 1 else "I cannot tell what these pictures show."
    captions = [caption(one) for one in facts]
    if prompt.schema is not None or ASKS_JSON.search(turn.text):
        return _object(captions, turn.text, prompt.schema or SCORE_SCHEMA)
    if len(captions) == 2 and COMPARES.search(turn.text):
        return _comparison(captions, turn.text)
    if len(captions) > 1:
        return "\n".join(f"Picture {i}: {one.text}" for i, one in enumerate(captions, 1))
    return _answer(captions[0], turn.text)


def _answer(seen: Caption, question: str) -> str:
    """To a question about one picture."""
    if ASKS_YES_NO.search(question):
        reached = _reached(seen, question)
        return NOT_SHOWN if reached is None else f"{'Yes' if reached else 'No'}."
    if ASKS_SCORE.search(question):
        near = _nearness(seen, question)
        return NOT_SHOWN if near is None else f"{10 * near:.1f} out of 10."
    if ASKS_DEGREES.search(question) and seen.tilted:
        return seen.tilt_sentence(whole=ASKS_WHOLE.search(question) is not None)
    said = " ".join(seen.sentences[: seen.brief]) if ASKS_BRIEF.search(question) else seen.text
    if ASKS_KM.search(question):
        said += " There is no scale to tell kilometers by."
    return said


def _nearness(seen: Caption, question: str) -> float | None:
    """Mean nearness in the respects that the question names, or in all; None where none shows."""
    scored = [a for a in seen.aspects if not a.asked_only]
    asked = [a for a in scored if _mentions(question, a.words)] or scored
    near = [a.near for a in asked]
    if not near or any(one is None for one in near):
        return None
    return float(np.mean([one for one in near if one is not None]))


def _reached(seen: Caption, question: str) -> bool | None:
    """Whether all is so that the question names, or all that is scored; None where none shows."""
    asked = [a for a in seen.aspects if _mentions(question, a.words)]
    asked = asked or [a for a in seen.aspects if not a.asked_only]
    return all(a.reached for a in asked) if asked else None


def _mentions(question: str, beginnings: Sequence[str]) -> bool:
    return re.search(rf"\b({'|'.join(beginnings)})", question, re.I) is not None


def _comparison(captions: Sequence[Caption], question: str) -> str:
    """What is seen in either picture, and on a line of its own which is nearer."""
    verdict = _nearer(captions, question)
    one, other = (" ".join(c.sentences[: c.brief]) for c in captions)
    return NOT_SHOWN if verdict is None else f"In one: {one}\nIn the other: {other}\n{verdict}"


def _nearer(captions: Sequence[Caption], question: str) -> str | None:
    first, second = (_nearness(one, question) for one in captions)
    if first is None or second is None:
        return None
    if abs(first - second) < SAME:
        return "equal"
    return "first" if first > second else "second"


def _object(captions: Sequence[Caption], question: str, schema: Mapping[str, Any]) -> str:
    """JSON with the schema's properties; a plain sentence where one is nothing that is seen."""
    filled = {}
    for name, kind in schema.get("properties", {}).items():
        value = _property(captions, question, f"{name} {kind.get('description', '')}", kind)
        if value is not None:
            filled[name] = value
        elif name in schema.get("required", schema.get("properties", {})):
            return NOT_SHOWN
    return json.dumps(filled)


def _property(
    captions: Sequence[Caption], question: str, about: str, kind: Mapping[str, Any]
) -> Any:
    """One property of a JSON object, or None."""
    seen = captions[0]
    if "enum" in kind:
        return _option(captions, question, kind["enum"])
    if kind.get("type") == "boolean":
        return _reached(seen, question)
    if kind.get("type") == "string":
        return " ".join(seen.sentences[: seen.brief])
    if kind.get("type") not in ("number", "integer"):
        return None
    whole = kind["type"] == "integer"
    if re.search(r"degree|angle|tilt", about, re.I):
        value = seen.tilt
    else:
        low, high = kind.get("minimum", 0), kind.get("maximum", 10)
        near = _nearness(seen, question)
        value = None if near is None else low + near * (high - low)
    return None if value is None else round(value) if whole else round(value, 2)


def _option(captions: Sequence[Caption], question: str, options: Sequence[Any]) -> Any:
    """The option that says which picture is nearer, or that the sentences name; or None."""
    if len(captions) == 2:
        verdict = _nearer(captions, question)
        return next((one for one in options if one == verdict), None)
    named = [one for one in options if isinstance(one, str) and one in captions[0].text]
    return named[0] if len(named) == 1 else None
