"""Reading spaces by their structure: ours, gymnax's, or any with the same attributes.

A space with `n` is discrete; one with `low` and `high` is a box. gymnax has no MultiDiscrete and
no Dict of actions; where another library brings them, they are refused by name here.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrl.errors import SpaceError
from jaxrl.types import Array


def is_discrete(space: Any) -> bool:
    """Whether the space is the integers `0 … n - 1`."""
    return hasattr(space, "n") and np.ndim(space.n) == 0


def is_box(space: Any) -> bool:
    """Whether the space is arrays between two bounds."""
    return hasattr(space, "low") and hasattr(space, "high")


def num_actions(space: Any) -> int:
    """`A` of a discrete space; raises `SpaceError` for another."""
    if not is_discrete(space):
        raise SpaceError(
            f"a Discrete action space is needed, this one is {space!r}: use an algorithm for its "
            "kind, `jaxrl algos` says which take it."
        )
    return int(space.n)


def action_size(space: Any) -> int:
    """`D` of a box of one axis; raises `SpaceError` for another space."""
    if not is_box(space) or len(space.shape) != 1:
        raise SpaceError(
            "a Discrete action space or a Box with one axis is needed, this one is "
            f"{space!r}{f' of shape {space.shape}' if is_box(space) else ''}: "
            "flatten the actions in a wrapper of the environment."
        )
    return int(space.shape[0])


def bounds(space: Any) -> tuple[Array, Array]:
    """Lower and upper bound of a box, float32 arrays of its shape."""
    low, high = (jnp.asarray(bound, jnp.float32) for bound in (space.low, space.high))
    return jnp.broadcast_to(low, space.shape), jnp.broadcast_to(high, space.shape)


def observation_shape(space: Any) -> tuple[int, ...]:
    """`O`, the shape of one observation; raises `SpaceError` for a Dict or a Tuple."""
    shape = getattr(space, "shape", None)
    if shape is None or hasattr(space, "spaces"):
        raise SpaceError(
            f"an observation space that is one array is needed, this one is {space!r}: "
            "join its parts into one Box in a wrapper of the environment."
        )
    return tuple(int(n) for n in shape)


def describe(space: Any) -> str:
    """A space in a few words, for listings."""
    if is_discrete(space):
        return f"Discrete({space.n})"
    if is_box(space):
        return f"Box{tuple(space.shape)}"
    return type(space).__name__
