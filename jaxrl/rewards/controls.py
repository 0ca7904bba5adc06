"""Controls: what a run with a model's reward must be compared with before the model gets credit.

=================  =============================================================================
`scaling`          R_v = 0: the environment's reward times (1 - α), and nothing else
`constant:C`       R_v = C on every judged frame
`random:LOW:HIGH`  R_v drawn uniformly between them, whatever the frame shows
`shuffled`         the model's own labels, each given to another frame
=================  =============================================================================

The first three ask nobody. `shuffled` asks as the run itself would, and keeps the last `KEPT`
labels: each frame gets one of them at random, so that a batch of one is shuffled too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import ConfigError, unknown_name
from jaxrl.types import Array, Key, PyTree

KEPT = 256
NAMES = ("none", "scaling", "constant", "random", "shuffled")


class Control(NamedTuple):
    """A change of labels on their way to the learner.

    Attributes:
        name: as it was typed.
        asks: whether the model is asked at all.
        init: `(key) -> state`.
        apply: `(state, value [N], ok [N], valid [N]) -> (state, value, ok)`: of the valid rows,
            those with a label.
    """

    name: str
    asks: bool
    init: Callable[[Key], PyTree]
    apply: Callable[[PyTree, Array, Array, Array], tuple[PyTree, Array, Array]]


def control(text: str) -> Control:
    """A control by its name, e.g. "shuffled", "constant:1.5", "random:-1:1"; "none" for none.

    Raises:
        UnknownNameError: no control of that name.
        ConfigError: numbers that it does not take.
    """
    name, *rest = text.split(":")
    if name not in NAMES:
        raise unknown_name("control", name, NAMES)
    needed = {"constant": 1, "random": 2}.get(name, 0)
    try:
        numbers = [float(x) for x in rest]
    except ValueError:
        numbers = []
    if len(rest) != needed or len(numbers) != needed or sorted(numbers) != numbers:
        forms = "scaling, constant:C, random:LOW:HIGH (LOW not above HIGH), shuffled or none"
        raise ConfigError(f"control {text!r}: needed is one of {forms}.")
    if name == "none":
        return Control(text, True, _nothing, _as_they_are)
    if name == "shuffled":
        return Control(text, True, _no_labels, _shuffle)
    if name == "random":
        return Control(text, False, lambda key: key, _random(*numbers))
    return Control(text, False, _nothing, _constant(numbers[0] if numbers else 0.0))


def _nothing(key: Key) -> tuple[()]:
    del key
    return ()


def _as_they_are(
    state: tuple[()], value: Array, ok: Array, valid: Array
) -> tuple[tuple[()], Array, Array]:
    return state, value, ok & valid


def _constant(number: float) -> Callable[..., tuple[PyTree, Array, Array]]:
    def apply(state: tuple[()], value: Array, ok: Array, valid: Array) -> tuple[PyTree, ...]:
        return state, jnp.full_like(value, number), valid

    return apply


def _random(low: float, high: float) -> Callable[..., tuple[PyTree, Array, Array]]:
    def apply(state: Key, value: Array, ok: Array, valid: Array) -> tuple[PyTree, ...]:
        key, sub = jax.random.split(state)
        return key, jax.random.uniform(sub, value.shape, value.dtype, low, high), valid

    return apply


class _Labels(NamedTuple):
    """The last labels, `[KEPT]`, how many there have been, and randomness."""

    value: Array
    count: Array
    key: Key


def _no_labels(key: Key) -> _Labels:
    return _Labels(jnp.zeros(KEPT, jnp.float32), jnp.int32(0), key)


def _shuffle(state: _Labels, value: Array, ok: Array, valid: Array) -> tuple[_Labels, Array, Array]:
    ok &= valid
    key, sub = jax.random.split(state.key)
    place = state.count + jnp.cumsum(ok) - 1
    kept = state.value.at[jnp.where(ok, place % KEPT, KEPT)].set(value, mode="drop")
    total = state.count + ok.sum(dtype=jnp.int32)
    drawn = jax.random.randint(sub, value.shape, 0, jnp.clip(total, 1, KEPT))
    return _Labels(kept, total, key), kept[drawn], ok
