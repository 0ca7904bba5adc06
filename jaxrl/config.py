"""How an algorithm's config is declared: what is static, what is traced, and what is in range.

A config is a frozen `flax.struct.dataclass`. Sizes and switches are `static`: they shape the
program. Numbers are leaves of the pytree: a sweep over them is one more `vmap` of one program.
Each field says its own range, so that a wrong value is refused before anything compiles.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl.errors import ConfigError, check_range, unknown_name

T = TypeVar("T")


def static(default: Any, *, low: float | None = None) -> Any:
    """A field that shapes the program: compared by value, never traced."""
    return struct.field(pytree_node=False, default=default, metadata={"low": low})


def number(
    default: float | None,
    *,
    low: float | None = None,
    high: float | None = None,
    open_low: bool = False,
) -> Any:
    """A float field: a leaf of the pytree, in `[low, high]`, or `(low, high]` with `open_low`."""
    metadata = {"low": low, "high": high, "open_low": open_low}
    return struct.field(default=default, metadata=metadata)


def is_static(field: dataclasses.Field[Any]) -> bool:
    """Whether a config's field is static, not a leaf."""
    return not field.metadata.get("pytree_node", True)


def validate(config: Any) -> None:
    """Refuses the first field that is of the wrong kind or out of its range.

    Numbers that are being traced (a sweep under a caller's `vmap`) are let through.

    Raises:
        UnknownNameError: a name that is not among those a field takes, with the nearest.
        ConfigError: anything else.
    """
    kinds = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        names = _names(kinds[field.name])
        if names and isinstance(value, str) and value not in names:
            raise unknown_name(field.name, value, names)
        if not is_kind(value, kinds[field.name]):
            raise ConfigError(
                f"{field.name}={value!r} is of the wrong kind: needed is "
                f"{_in_words(kinds[field.name])}."
            )
        check_range(
            field.name,
            value,
            field.metadata.get("low"),
            field.metadata.get("high"),
            open_low=field.metadata.get("open_low", False),
        )


def is_kind(value: Any, kind: Any) -> bool:
    """Whether a value is what a field's annotation says; a whole number is also a float."""
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return any(is_kind(value, one) for one in arguments)
    if typing.get_origin(kind) is typing.Literal:
        return value in arguments
    if typing.get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(is_kind(one, arguments[0]) for one in value)
    if kind is float:
        return _is_number(value, "iuf")
    if kind is int:
        return _is_number(value, "iu")
    return isinstance(value, kind)


def _names(kind: Any) -> tuple[str, ...]:
    """The names that a field of a `Literal`, or of one and another kind, takes."""
    if typing.get_origin(kind) is typing.Literal:
        return typing.get_args(kind)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return sum((_names(one) for one in typing.get_args(kind)), ())
    return ()


def _is_number(value: Any, kinds: str) -> bool:
    """Whether a value is a scalar, concrete or traced, of these of numpy's kinds."""
    if isinstance(value, bool | str) or value is None:
        return False
    return jnp.ndim(value) == 0 and jnp.result_type(value).kind in kinds


def _in_words(kind: Any) -> str:
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return " or ".join(_in_words(one) for one in arguments)
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(arguments)
    if typing.get_origin(kind) is tuple:
        return f"a tuple, each of it {_in_words(arguments[0])}"
    names = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}
    return names.get(kind, "None" if kind is type(None) else str(kind))


def as_arrays(config: T) -> T:
    """The same config with float32 arrays for leaves, as a train state carries it."""
    return jax.tree.map(jnp.float32, config)
