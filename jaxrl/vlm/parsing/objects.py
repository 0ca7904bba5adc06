"""A JSON object that follows a schema, wherever it stands in a text; nothing is repaired."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from jaxrl.vlm.parsing.parsed import Parsed, found, unparsed, unreadable

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
LARGEST = 1e300
"""Where nothing else is said. JSON's numbers may have more digits than a float can hold."""
KEYWORDS = {
    "type", "properties", "required", "enum", "minimum", "maximum", "items", "description",
    "additionalProperties",
}  # fmt: skip
"""What of JSON Schema is checked; a schema with more is refused when it is read."""


@dataclasses.dataclass(frozen=True)
class Objects:
    """Reads a number from an object.

    Attributes:
        schema: what the object has to follow.
        field: name of the number in it.
        scale: what the number is multiplied with, to be the reward.
    """

    name: str
    digest: str
    schema: Mapping[str, Any]
    field: str
    scale: float = 1.0

    def __call__(self, text: str, prompt_text: str = "") -> Parsed:
        """See `Parser`. An object that the prompt shows as an example may be the answer too."""
        del prompt_text
        if (verdict := unreadable(text)) is not None:
            return verdict
        values, complaints = set(), []
        for candidate in objects(text):
            complaint = violation(candidate, self.schema)
            if complaint is None:
                values.add(float(candidate[self.field]))
            else:
                complaints.append(complaint)
        if not values:
            return unparsed(complaints[-1] if complaints else "no JSON object")
        if len(values) > 1:
            return unparsed(f"several objects: {', '.join(f'{v:g}' for v in sorted(values))}")
        value = values.pop()
        return found(value * self.scale, f"{self.field}={value:g}", reading=value)


def objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects of a text, fenced or with prose around."""
    decoder = json.JSONDecoder(parse_constant=_no_number)
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
            yield value
        except ValueError:
            end = at + 1
        except RecursionError:  # nested a thousand deep: nobody's answer
            return
        at = text.find("{", end)


def violation(value: Any, schema: Mapping[str, Any], path: str = "the answer") -> str | None:
    """What is wrong with a value, or None."""
    kind = schema.get("type")
    if kind is not None and not _is(value, kind):
        return f"{path} is not of type {kind}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{path} is none of {schema['enum']}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = schema.get("minimum", -LARGEST), schema.get("maximum", LARGEST)
        if not low <= value <= high:
            return f"{path} is outside {low:g} to {high:g}"
    inside: list[tuple[str, Any, Mapping[str, Any]]] = []
    if isinstance(value, dict):
        missing = [name for name in schema.get("required", ()) if name not in value]
        if missing:
            return f"{path} has no {', '.join(missing)}"
        known = schema.get("properties", {})
        if schema.get("additionalProperties") is False and (more := set(value) - set(known)):
            return f"{path} has {', '.join(sorted(more))} too many"
        inside = [(name, value[name], known[name]) for name in known if name in value]
    elif isinstance(value, list) and "items" in schema:
        inside = [(str(number), item, schema["items"]) for number, item in enumerate(value)]
    found = (violation(item, rule, f"{name!r}") for name, item, rule in inside)
    return next((complaint for complaint in found if complaint is not None), None)


def unchecked(schema: Mapping[str, Any]) -> set[str]:
    """Keywords of a schema that `violation` does not look at."""
    found = set(schema) - KEYWORDS
    if schema.get("type", "object") not in TYPES:
        found.add(f"type {schema['type']!r}")
    below = [
        *schema.get("properties", {}).values(),
        *([schema["items"]] if "items" in schema else []),
    ]
    return found.union(*(unchecked(part) for part in below))


def _is(value: Any, kind: str) -> bool:
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()  # JSON knows no integers: 7.0 is one
    return isinstance(value, TYPES[kind]) and (isinstance(value, bool) == (kind == "boolean"))


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")
