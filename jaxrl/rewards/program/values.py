"""What a program computes with: numbers, arrays, tuples, components, and states seen by name.

Numbers that follow from the text alone stay Python's, so that they can be indices, exponents and
lengths of loops; what follows from a state is an array that may be traced. None of these values is
ever asked for an attribute that the program names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.rewards.program.numerals import arithmetic, is_number, is_static, is_truth
from jaxrl.rewards.program.refusal import MAX_LOOP, MAX_NAME, nearest, quoted, refuse
from jaxrl.rewards.program.schema import Schema
from jaxrl.types import Array

FRESH = object()
"""The owner of a dict that has no name yet."""
BEFORE = "give it a value before the if, such as 0.0"


class Components(dict):
    """A dict of a program, with names as keys.

    Never changed: what assigns to an item makes another one, which takes the place of this one.
    That is what Python does as long as a dict has one name; so a second name is refused, and only
    `owner`, the scope of the name, may assign to items. `gaps` are the names that only some paths
    gave a value: 0 elsewhere where the dict is returned, and nothing that a program can read.
    """

    def __init__(
        self, items: dict[str, Any], owner: object = FRESH, gaps: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(items)
        self.owner, self.gaps = owner, gaps

    def item(self, key: Any, line: int) -> Any:
        """The value of a name; raises `ProgramError` where there is none, or not on every path."""
        if not isinstance(key, str):
            raise refuse(line, f"{kind_of(key)} as a key", "use the names of the dict's items")
        if key not in self:
            raise refuse(line, f"the dict has no {quoted(key)} here", nearest(key, self))
        if key in self.gaps:
            raise refuse(line, f"{quoted(key)} has a value only on some paths", BEFORE)
        return self[key]

    def names(self, line: int) -> tuple[str, ...]:
        """The keys; raises `ProgramError` where they depend on the path."""
        if self.gaps:
            few = ", ".join(sorted(self.gaps))
            raise refuse(line, f"a dict that has {few} only on some paths, item by item", BEFORE)
        return tuple(self)


class Addends:
    """The values of a dict with gaps: 0 on the other paths, so that their sum is right."""

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts = parts


class State:
    """A state as a program sees it: quantities by name, or by their order."""

    def __init__(self, values: dict[str, Array], schema: Schema, reads: set[str]) -> None:
        self._values, self._schema, self._reads = values, schema, reads

    def get(self, name: str, line: int) -> Array:
        """One quantity, which is noted as read."""
        if name not in self._values:
            advice = nearest(name, self._schema.names)
            raise refuse(line, f"{self._schema.env} has no quantity {quoted(name)}", advice)
        self._reads.add(name)
        return self._values[name]

    def unpack(self, line: int) -> tuple[Array, ...]:
        """All quantities in order."""
        return tuple(self.get(name, line) for name in self._schema.names)

    @property
    def order(self) -> str:
        """The names in order, for a refusal."""
        return ", ".join(self._schema.names)


def owned(value: Any, owner: object, line: int) -> Any:
    """A value that is about to get a name in a scope."""
    if isinstance(value, tuple):
        return tuple(owned(item, owner, line) for item in value)
    if not isinstance(value, Components):
        return value
    if value.owner is not FRESH:
        raise refuse(line, "a second name for a dict", "use the dict by its first name")
    return Components(value, owner, value.gaps)


class Torn:
    """What a name holds where only some paths gave it a value, or values of different kinds."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Kind:
    """A type of numbers, such as `jnp.float32`."""

    def __init__(self, dtype: Any) -> None:
        self.dtype, self.whole = dtype, jnp.issubdtype(dtype, jnp.integer)


def kind_of(value: Any) -> str:
    """What a value is, in words for an author."""
    if isinstance(value, jax.Array):
        return "a number" if value.ndim == 0 else f"an array of shape {value.shape}"
    if value is None:
        return "None"
    names: dict[type, str] = {
        **{Components: "a dict", State: "a whole state", tuple: "a tuple", str: "a string"},
        Addends: "the values of a dict that differ by the path",
    }
    for kind, name in names.items():
        if isinstance(value, kind):
            return name
    return (
        "a number" if is_static(value) else "a type of numbers" if _is_kind(value) else "no value"
    )


def _is_kind(value: Any) -> bool:
    return isinstance(value, Kind)


def numeric(value: Any, line: int, advice: str = "use numbers and arrays") -> Any:
    """A number or an array, of it or of a tuple of such; raises `ProgramError` for another."""
    if isinstance(value, tuple):
        parts = [numeric(item, line, advice) for item in value]
        if not parts:
            raise refuse(line, "an empty tuple where numbers are needed", advice)
        if len({jnp.shape(part) for part in parts}) > 1:
            raise refuse(line, "a tuple of different shapes where numbers are needed", advice)
        return jnp.stack([jnp.asarray(part) for part in parts])
    if not is_number(value):
        raise refuse(line, f"{kind_of(value)} where a number is needed", advice)
    return value


def scalar(value: Any, line: int, use: str) -> Any:
    """A number: static, or an array without axes; an array of one element is taken as it."""
    value = numeric(value, line)
    if is_static(value):
        return value
    if value.size != 1:
        advice = "index it, or reduce it with .sum(), .mean() or jnp.linalg.norm"
        raise refuse(line, f"an array of shape {value.shape} as {use}", advice)
    return value.reshape(())


def truth(value: Any, line: int) -> Any:
    """A condition, static or a truth without axes."""
    if isinstance(value, Components) and len(value) == len(value.gaps) > 0:
        value.names(line)
    if isinstance(value, (tuple, Components)):
        return len(value) > 0
    if isinstance(value, (str, State)) or value is None:
        raise refuse(line, f"{kind_of(value)} as a condition", "compare numbers")
    if isinstance(value, jax.Array) and value.size != 1:
        reason = f"an array of shape {value.shape} as a condition"
        raise refuse(line, reason, "reduce it with .any() or .all()")
    value = scalar(value, line, "a condition")
    return bool(value) if is_static(value) else value.astype(bool)


def select(cond: Any, yes: Any, no: Any, line: int, where: Callable[..., Any] = jnp.where) -> Any:
    """The value of one path or of the other, `cond` being a traced truth.

    Of components, those that one path lacks are 0 there, and noted as gaps.
    """
    if yes is no:
        return yes
    if isinstance(yes, Components) and isinstance(no, Components):
        names = [*yes, *(name for name in no if name not in yes)]
        pairs = {n: (yes.get(n, 0.0), no.get(n, 0.0)) for n in names}
        owner = yes.owner if no.owner in (yes.owner, FRESH) else no.owner
        picked = {n: select(cond, a, b, line, where) for n, (a, b) in pairs.items()}
        return Components(picked, owner, yes.gaps | no.gaps | (yes.keys() ^ no.keys()))
    if isinstance(yes, tuple) and isinstance(no, tuple) and len(yes) == len(no):
        pairs = zip(yes, no, strict=True)
        return tuple(select(cond, a, b, line, where) for a, b in pairs)
    if isinstance(yes, str) and yes == no:
        return yes
    if is_static(yes) and is_static(no) and type(yes) is type(no) and yes == no:
        return yes
    if not (is_number(yes) and is_number(no)) or jnp.shape(yes) != jnp.shape(no):
        reason = f"{kind_of(yes)} on one path and {kind_of(no)} on the other"
        raise refuse(line, reason, "give it the same kind of value on both")
    if is_truth(yes) != is_truth(no):  # a truth counts as a number where the other path has one
        yes, no = arithmetic(yes), arithmetic(no)
    return where(cond, yes, no)


def elements(value: Any, line: int) -> tuple[Any, ...]:
    """What a loop or an unpacking goes through."""
    if isinstance(value, State):
        return value.unpack(line)
    if isinstance(value, Components):
        return value.names(line)
    if isinstance(value, Addends):
        raise refuse(line, f"{kind_of(value)}, one by one", "take their sum(...), or " + BEFORE)
    if isinstance(value, jax.Array) and value.ndim and value.shape[0] <= MAX_LOOP:
        return tuple(value[i] for i in range(value.shape[0]))
    if not isinstance(value, tuple):
        advice = "use a tuple, or range(n) with n up to 16"
        raise refuse(line, f"{kind_of(value)} where a sequence is needed", advice)
    return value


def component_name(key: Any, line: int) -> str:
    """A key of a dict, if it can name a component."""
    if not isinstance(key, str) or not 0 < len(key) <= MAX_NAME or not key.isprintable():
        advice = f"use strings of 1 to {MAX_NAME} letters"
        raise refuse(line, "a key that is no name of a component", advice)
    return key


def item_of(value: Any, line: int) -> Any:
    """What an item of a dict can hold: a number, an array or a tuple."""
    if isinstance(value, tuple) or is_number(value):
        return value
    raise refuse(line, f"{kind_of(value)} in a dict", "put numbers into dicts")
