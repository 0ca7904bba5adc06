"""How an algorithm's config is declared: what is static, what is traced, and what is in range.

A config is a frozen `flax.struct.dataclass`. Sizes and switches are `static`: they shape the
program. Numbers are leaves of the pytree: a sweep over them is one more `vmap` of one program.
Each field says its own range, so that a wrong value is refused before anything compiles.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl.errors import check_range

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
    """Raises `ConfigError` for the first field out of its declared range."""
    for field in dataclasses.fields(config):
        check_range(
            field.name,
            getattr(config, field.name),
            field.metadata.get("low"),
            field.metadata.get("high"),
            open_low=field.metadata.get("open_low", False),
        )


def as_arrays(config: T) -> T:
    """The same config with float32 arrays for leaves, as a train state carries it."""
    return jax.tree.map(jnp.float32, config)
