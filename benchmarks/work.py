"""What a program must do, counted: operations and bytes from its jaxpr, kernels from its HLO.

XLA's own `cost_analysis` counts the body of a loop once, however often it runs, and an update is
loops. So operations and bytes are counted here by walking the jaxpr, with every body multiplied by
the length of its scan; kernels, by walking the compiled program in the same way.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.products import product_p

PER_RANDOM_WORD = 50
"""Operations for 32 random bits: threefry's 20 rounds of add, rotate (3) and xor make two words."""

DRAWS = ("random_bits", "random_split", "random_fold_in", "random_seed", "threefry2x32")
MOVES = (
    *("gather", "scatter", "scatter-add", "sort", "dynamic_slice", "dynamic_update_slice"),
    "optimization_barrier",  # what passes one is written to memory
)
"""What moves its operands and results, besides products: none of it can be fused away."""

REARRANGES = (
    *("reshape", "broadcast_in_dim", "squeeze", "transpose", "slice", "concatenate", "iota"),
    *("convert_element_type", "bitcast_convert_type", "copy", "copy_p", "stop_gradient", "rev"),
    *("pad", "select_n", "random_wrap", "random_unwrap", "split", "expand_dims"),
    *("stack", "unstack"),
)
"""What computes nothing."""


class Work(NamedTuple):
    """What a program does once.

    Attributes:
        flops: operations on numbers, a multiply and an add counted apart; one for a function such
            as tanh, `PER_RANDOM_WORD` for each random word.
        product_flops: those of them in matrix products and convolutions.
        bytes: read and written by products, moves, and the slices that a loop takes and leaves at
            each step. What is done element by element between them is taken to be fused, so this is
            less than any compiler's program moves; much of it may stay in a cache.
    """

    flops: float = 0.0
    product_flops: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: Any) -> Work:
        return Work(*(a + b for a, b in zip(self, other, strict=True)))

    def times(self, count: float) -> Work:
        """The work of doing it so many times."""
        return Work(*(count * x for x in self))


def work_of(function: Any, *args: Any, unknown_rounds: int | None = None) -> Work:
    """The work of a function of arrays, or of shapes of arrays.

    Args:
        function: what is to be counted.
        *args: what it is called with.
        unknown_rounds: rounds of its loops whose number cannot be known beforehand.

    Raises:
        ValueError: there is such a loop, and `unknown_rounds` is None.
    """
    return count(jax.make_jaxpr(function)(*args).jaxpr, unknown_rounds)


def count(jaxpr: Any, unknown_rounds: int | None = None) -> Work:
    """The work of a jaxpr; arguments and errors as of `work_of`."""
    return sum((_of_equation(equation, unknown_rounds) for equation in jaxpr.eqns), Work())


def _of_equation(equation: Any, unknown_rounds: int | None) -> Work:
    name, params = equation.primitive.name, equation.params
    if name == "scan":
        body = getattr(params["jaxpr"], "jaxpr", params["jaxpr"])
        # What has an axis more than in the body is cut up along it. (How many constants and carries
        # come first is told differently by jax 0.10 and 0.11.)
        outer = [*equation.invars, *equation.outvars]
        inner = [*body.invars, *body.outvars]
        sliced = [a for a, b in zip(outer, inner, strict=True) if a.aval.ndim > b.aval.ndim]
        return count(body, unknown_rounds).times(params["length"]) + Work(bytes=_bytes(sliced))
    if name == "while":
        if unknown_rounds is None:
            raise ValueError(
                "the program has a loop of an unknown number of rounds: say how many with "
                "unknown_rounds, give its body, or a fori_loop with fixed ends."
            )
        return count(params["body_jaxpr"].jaxpr, unknown_rounds).times(unknown_rounds)
    if name == "cond":
        # The costliest branch: which one runs is not known.
        branches = [count(branch.jaxpr, unknown_rounds) for branch in params["branches"]]
        return max(branches, key=lambda work: work.flops)
    inner = list(_inner(params))
    if inner:
        return sum((count(jaxpr, unknown_rounds) for jaxpr in inner), Work())
    return _of_primitive(name, equation)


def _of_primitive(name: str, equation: Any) -> Work:
    out = sum(_size(v) for v in equation.outvars)
    both = _bytes([*equation.invars, *equation.outvars])
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        flops = 2.0 * out * math.prod(shape[axis] for axis in contracted)
        return Work(flops, flops, both)
    if name == product_p.name:  # [*B, N, I] @ [*B, I, O]
        flops = 2.0 * out * equation.invars[0].aval.shape[-1]
        return Work(flops, flops, both)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        features = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
        flops = 2.0 * out * math.prod(kernel) / features
        return Work(flops, flops, both)
    if name in DRAWS:
        return Work(flops=PER_RANDOM_WORD * sum(_words(v) for v in equation.outvars))
    if name == "sort":
        rows = equation.invars[0].aval.shape[equation.params["dimension"]]
        return Work(flops=_size(equation.invars[0]) * math.log2(max(rows, 2)), bytes=both)
    if name in MOVES:
        return Work(bytes=both)
    if name in REARRANGES:
        return Work()
    if name.startswith(("reduce_", "cum", "arg")):
        return Work(flops=_size(equation.invars[0]))
    return Work(flops=out)


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    """The jaxprs that a call, a custom derivative or a checkpoint holds."""
    for name, value in params.items():
        # The other jaxprs of a custom derivative are for when it is derived, which has been done.
        if name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
            yield getattr(value, "jaxpr", value)


def _size(variable: Any) -> int:
    return math.prod(getattr(variable.aval, "shape", ()))


def _bytes(variables: list[Any]) -> float:
    return float(sum(_size(v) * _item_bytes(v.aval.dtype) for v in variables))


def _item_bytes(dtype: Any) -> int:
    return 8 if jnp.issubdtype(dtype, jax.dtypes.prng_key) else dtype.itemsize


def _words(variable: Any) -> float:
    return _size(variable) * _item_bytes(variable.aval.dtype) / 4


HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = .*?[\])}] ([a-z][\w\-]*)\(")
TRIPS = re.compile(r'"known_trip_count":(\{[^}]*\})')
CALLED = re.compile(r"(?:body|to_apply|calls|condition)=%?([\w.\-]+)")
BRANCHES = re.compile(
    r"(?:branch_computations=\{([^}]*)\}|(?:true|false)_computation=%?([\w.\-]+))"
)
NO_KERNEL = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all")


def kernels(hlo: str) -> float:
    """How many kernels a compiled program runs: its instructions, those of loops each round.

    Args:
        hlo: `compiled.as_text()`. A loop whose number of rounds XLA could not tell counts once.
    """
    bodies: dict[str, list[str]] = {}
    entry = name = ""
    for line in hlo.splitlines():
        if head := HEAD.match(line):
            name = head[2]
            bodies[name] = []
            entry = name if head[1] else entry
        elif name:
            bodies[name].append(line)
    return _kernels_in(entry, bodies)


def _kernels_in(name: str, bodies: dict[str, list[str]]) -> float:
    total = 0.0
    for line in bodies[name]:
        found = INSTRUCTION.match(line)
        if found is None or found[1] in NO_KERNEL:
            continue
        called = [name for name in CALLED.findall(line) if name in bodies]
        if found[1] == "while":
            trips = TRIPS.search(line)
            rounds = int(json.loads(trips[1])["n"]) if trips else 1
            total += rounds * sum(_kernels_in(name, bodies) for name in called)
        elif found[1] == "call":
            total += sum(_kernels_in(name, bodies) for name in called)
        elif found[1] == "conditional":
            names = ",".join(part for pair in BRANCHES.findall(line) for part in pair if part)
            listed = [name.strip().lstrip("%") for name in names.split(",")]
            total += 1 + max((_kernels_in(name, bodies) for name in listed), default=0.0)
        else:
            total += 1
    return total
