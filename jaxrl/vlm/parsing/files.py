"""Parsers as TOML files: those that are shipped, and those that users write."""

from __future__ import annotations

import hashlib
import itertools
import math
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxrl.errors import ConfigError, unknown_name
from jaxrl.vlm.parsing.choices import Choice, Option
from jaxrl.vlm.parsing.keywords import Keywords, Rule
from jaxrl.vlm.parsing.numbers import Number
from jaxrl.vlm.parsing.objects import Objects, unchecked
from jaxrl.vlm.parsing.parsed import Parser
from jaxrl.vlm.parsing.words import phrase

FOLDER = Path(__file__).parent / "rules"


def names() -> list[str]:
    """The parsers that are shipped."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def parser(name_or_path: str | Path) -> Parser:
    """A parser by the name of a shipped one, or by the path of a TOML file.

    Raises:
        UnknownNameError: no parser of that name is shipped.
        ConfigError: there is no such file, or it does not say what a parser needs.
    """
    path = Path(name_or_path)
    if str(name_or_path) in names():
        path = FOLDER / f"{name_or_path}.toml"
    elif path.suffix == ".toml" and not path.is_file():
        raise ConfigError(f"parser {path}: there is no such file; shipped are {', '.join(names())}")
    elif path.suffix != ".toml":
        raise unknown_name(
            "parser", str(name_or_path), names(), "Or give the path of a .toml file."
        )
    whole = path.read_bytes()
    try:
        table = tomllib.loads(whole.decode())
        kind = KINDS.get(table.pop("kind", ""))
        if kind is None:
            raise ValueError(f"kind must be one of {', '.join(sorted(KINDS))}")
        table.pop("description", None)
        made = kind(path.stem, hashlib.sha256(whole).hexdigest(), table)
        if table:
            raise ValueError(f"nothing is known of {', '.join(sorted(table))}")
    except KeyError as error:
        raise ConfigError(f"parser {path}: {error} is missing") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"parser {path}: {error}") from error
    return made


def _keywords(name: str, digest: str, table: dict[str, Any]) -> Parser:
    rules = tuple(
        Rule(rule.get("name", rule["any"][0]), _keyword_texts(rule["any"]), _number(rule["weight"]))
        for rule in table.pop("rules")
    )
    match, unmatched = table.pop("match", "word"), table.pop("unmatched", None)
    if match not in ("word", "substring"):
        raise ValueError(f"match={match!r}: needed is 'word' or 'substring'")
    if not rules:
        raise ValueError("there are no rules")
    return Keywords(name, digest, rules, match, None if unmatched is None else _number(unmatched))


def _numbers(name: str, digest: str, table: dict[str, Any]) -> Parser:
    low, high = (_number(value) for value in table.pop("range"))
    sides = {word: _number(sign) for word, sign in table.pop("sides", {}).items()}
    _keyword_texts([*sides] or ["none"])
    reward = tuple((_number(x), _number(y)) for x, y in table.pop("reward", ()))
    if not low < high:
        raise ValueError(f"range=[{low:g}, {high:g}]: the second must be the larger")
    if not set(sides.values()) <= {-1, 1}:
        raise ValueError("sides are -1 or 1")
    if any(a[0] >= b[0] for a, b in itertools.pairwise(reward)):
        raise ValueError("the points of reward must be in order")
    return Number(name, digest, _texts(table.pop("unit", ())), low, high, sides, reward)


def _choice(name: str, digest: str, table: dict[str, Any]) -> Parser:
    options = tuple(
        Option(option, _keyword_texts(entry.get("any", [option])), _number(entry["value"]))
        for option, entry in table.pop("options").items()
    )
    if len(options) < 2:
        raise ValueError("a choice needs two options or more")
    return Choice(name, digest, options, bool(table.pop("anywhere", False)))


def _objects(name: str, digest: str, table: dict[str, Any]) -> Parser:
    schema, field = table.pop("schema"), table.pop("field")
    if more := unchecked(schema):
        raise ValueError(f"of JSON Schema, {', '.join(sorted(more))} is not checked here")
    kind = schema["properties"][field]["type"]
    if kind not in ("number", "integer") or field not in schema["required"]:
        raise ValueError(f"{field!r} must be a required number of the schema")
    return Objects(name, digest, schema, field, _number(table.pop("scale", 1.0)))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return float(value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) and v for v in value):
        raise ValueError(f"{value!r} is no list of texts")
    return tuple(value)


def _keyword_texts(value: Any) -> tuple[str, ...]:
    texts = _texts(value)
    if not texts or not all(phrase(text) for text in texts):
        raise ValueError(f"{value!r} holds something without a word in it")
    return texts


KINDS: dict[str, Callable[[str, str, dict[str, Any]], Parser]] = {
    "keywords": _keywords,
    "number": _numbers,
    "choice": _choice,
    "json": _objects,
}
