"""The closed table of names: what a program can call, and nothing else can be reached.

`jnp`, `np`, `math` and `torch` are spellings of one table. A function is found by its last name
(`jnp.linalg.norm`, `torch.norm`), a method in the same table with the array as first argument
(`x.clip(0, 1)`). Arguments go by torch's names as well as numpy's (`dim` and `axis`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.rewards.program import formulas
from jaxrl.rewards.program.values import Kind

MODULES = (
    *("numpy", "jax.numpy", "math", "torch", "jax", "jax.nn", "torch.nn", "torch.nn.functional"),
    *("numpy.linalg", "jax.numpy.linalg", "torch.linalg"),
)
"""Modules whose imports are let through; what they say is looked up here all the same."""

ALIASES = {
    "np": "numpy",
    "numpy": "numpy",
    "jnp": "jax.numpy",
    "jax": "jax",
    "math": "math",
    "torch": "torch",
}
"""Names that stand for modules without an import."""

CONSTANTS = {"pi": math.pi, "e": math.e, "tau": math.tau, "inf": math.inf}

KINDS = {
    "float32": Kind(jnp.float32),
    "float64": Kind(jnp.float32),
    "float": Kind(jnp.float32),
    "float_": Kind(jnp.float32),
    "int32": Kind(jnp.int32),
    "int64": Kind(jnp.int32),
    "int": Kind(jnp.int32),
    "bool": Kind(jnp.bool_),
    "bool_": Kind(jnp.bool_),
}
"""Types of numbers; what is wider than the accelerator's is taken for that."""

SAME = {
    **dict.fromkeys(("input", "a", "arr", "x1", "array", "object", "data"), "x"),
    **dict.fromkeys(("other", "x2", "b"), "y"),
    **dict.fromkeys(("dim",), "axis"),
    **dict.fromkeys(("keepdim",), "keepdims"),
    **dict.fromkeys(("a_min",), "min"),
    **dict.fromkeys(("a_max",), "max"),
    **dict.fromkeys(("ndigits",), "decimals"),
    **dict.fromkeys(("tensors", "arrays"), "xs"),
    **dict.fromkeys(("exponent",), "y"),
    **dict.fromkeys(("condition",), "cond"),
}
"""Other libraries' names of arguments."""


class Function(NamedTuple):
    """An entry of the table.

    Attributes:
        call: what computes it; gets arguments by position, None for those left out.
        params: names of the arguments.
        required: how many must be given.
        static: those that must follow from the text alone.
        raw: those handed over as they are, tuples for sequences; others are made arrays.
    """

    call: Callable[..., Any]
    params: tuple[str, ...]
    required: int
    static: frozenset[str]
    raw: frozenset[str]


def function(call: Callable[..., Any], spec: str) -> Function:
    """An entry; in `spec`, `x?` may be left out, `x!` is static and `x*` a sequence."""
    words = spec.split()
    names = tuple(word.rstrip("?!*") for word in words)
    return Function(
        call,
        names,
        sum("?" not in word for word in words),
        frozenset(n for n, word in zip(names, words, strict=True) if "!" in word),
        frozenset(n for n, word in zip(names, words, strict=True) if "*" in word),
    )


FUNCTIONS: dict[str, Function] = {}
"""Name to entry, whatever module it is asked of."""


def _add(names: str, call: Callable[..., Any], spec: str) -> None:
    FUNCTIONS.update(dict.fromkeys(names.split(), function(call, spec)))


_ON_FLOATS = {
    "exp": jnp.exp,
    "expm1": jnp.expm1,
    "log1p": jnp.log1p,
    "log2": jnp.log2,
    "log10": jnp.log10,
    "sqrt": jnp.sqrt,
    "cbrt": jnp.cbrt,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tan": jnp.tan,
    "arcsin asin": jnp.arcsin,
    "arccos acos": jnp.arccos,
    "arctan atan": jnp.arctan,
    "sinh": jnp.sinh,
    "cosh": jnp.cosh,
    "tanh": jnp.tanh,
    "degrees rad2deg": jnp.rad2deg,
    "radians deg2rad": jnp.deg2rad,
    "reciprocal": jnp.reciprocal,
    "sigmoid expit": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "isfinite": jnp.isfinite,
    "isnan": jnp.isnan,
    "isinf": jnp.isinf,
    "nan_to_num": jnp.nan_to_num,
    "square": jnp.square,
}
_ON_NUMBERS = {
    "abs absolute fabs": jnp.abs,
    "sign": jnp.sign,
    "floor": jnp.floor,
    "ceil": jnp.ceil,
    "trunc": jnp.trunc,
    "rint": jnp.rint,
    "negative": jnp.negative,
    "positive": lambda x: x,
    "relu": jax.nn.relu,
}
_ON_TWO_NUMBERS = {
    "maximum fmax": jnp.maximum,
    "minimum fmin": jnp.minimum,
    "equal eq": jnp.equal,
    "not_equal ne": jnp.not_equal,
    "greater gt": jnp.greater,
    "greater_equal ge": jnp.greater_equal,
    "less lt": jnp.less,
    "less_equal le": jnp.less_equal,
}
_ON_TWO_FLOATS = {
    "multiply mul": jnp.multiply,
    "divide true_divide div": jnp.true_divide,
    "floor_divide": jnp.floor_divide,
    "mod remainder": jnp.remainder,
    "fmod": jnp.fmod,
    "power pow float_power": jnp.power,
    "arctan2 atan2": jnp.arctan2,
    "copysign": jnp.copysign,
    "heaviside": jnp.heaviside,
    "dot": jnp.dot,
    "inner": jnp.inner,
    "matmul": jnp.matmul,
    "outer": jnp.outer,
}
_ON_TRUTHS = {
    "logical_and": jnp.logical_and,
    "logical_or": jnp.logical_or,
    "logical_xor": jnp.logical_xor,
}
_REDUCTIONS = {"sum": jnp.sum, "mean": jnp.mean, "prod": jnp.prod}
_EXTREMES = {"max amax": jnp.max, "min amin": jnp.min}

for _calls, _wrapped, _spec in (
    (_ON_FLOATS, formulas.on_floats, "x"),
    (_ON_NUMBERS, formulas.on_numbers, "x"),
    (_ON_TWO_NUMBERS, formulas.on_numbers, "x y"),
    (_ON_TWO_FLOATS, formulas.on_floats, "x y"),
    ({"add": jnp.add, "subtract sub": jnp.subtract}, formulas.plus, "x y"),
    (_ON_TRUTHS, lambda call: call, "x y"),
    (_REDUCTIONS, partial(partial, formulas.reduce), "x axis?! keepdims?!"),
    (_EXTREMES, partial(partial, formulas.extreme), "x axis?! keepdims?!"),
):
    for _names, _call in _calls.items():
        _add(_names, _wrapped(_call), _spec)
for _names, _call in {"any": jnp.any, "all": jnp.all}.items():
    _add(_names, lambda x, axis, call=_call: call(formulas.truths(x), axis=axis), "x axis?!")
for _names, _call in {"argmax": jnp.argmax, "argmin": jnp.argmin}.items():
    _add(_names, lambda x, axis, call=_call: call(jnp.asarray(x), axis=axis), "x axis?!")
for _names, _call in {"std": jnp.std, "var": jnp.var}.items():
    _add(_names, partial(formulas.spread, _call, 0), "x axis?! ddof?!")
for _names, _call in {"zeros_like": 0.0, "ones_like": 1.0}.items():
    _add(_names, lambda x, value=_call: formulas.full_like(x, value), "x")
for _names, _kind in KINDS.items():
    _add(_names, lambda x, kind=_kind: formulas.array(x, kind), "x")

_add("logical_not", jnp.logical_not, "x")
_add("log", formulas.log, "x base?")
_add("hypot", formulas.hypot, "xs*")
_add("where", formulas.where, "cond x y")
_add("select", formulas.select, "condlist* choicelist* default?")
_add("clip clamp", formulas.clip, "x min? max?")
_add("round around", formulas.round, "x decimals?!")
_add("isclose", formulas.isclose, "x y rtol?! atol?!")
_add("norm vector_norm", formulas.norm, "x ord?! axis?! keepdims?!")
_add("full_like", formulas.full_like, "x fill_value")
_add("array asarray tensor as_tensor", formulas.array, "x dtype?!")
_add("stack", partial(formulas.join, jnp.stack), "xs* axis?!")
_add("concatenate concat cat", partial(formulas.join, jnp.concatenate), "xs* axis?!")
_add("hstack", lambda xs: jnp.hstack([jnp.asarray(x) for x in xs]), "xs*")
_add("ravel flatten", lambda x: jnp.ravel(jnp.asarray(x)), "x")
_add("squeeze", formulas.squeeze, "x axis?!")

METHODS: dict[str, Function] = {
    name: FUNCTIONS[name]
    for name in (
        *("sum", "mean", "prod", "max", "min", "any", "all", "std", "var", "argmax", "argmin"),
        *("clip", "clamp", "abs", "round", "exp", "log", "sqrt", "square", "pow", "sin", "cos"),
        *("tanh", "sigmoid", "sign", "floor", "ceil", "dot", "norm", "ravel", "flatten"),
        *("squeeze", "float", "int", "bool"),
    )
} | {
    "astype": function(formulas.array, "x dtype!"),
    "item": function(lambda x: jnp.asarray(x).reshape(()), "x"),
    "reshape": function(formulas.reshape, "x shape!"),
    "detach": function(lambda x: x, "x"),
}
"""Name to entry of what can be written after an array's dot."""

BUILTINS = (
    *("abs", "min", "max", "sum", "round", "pow", "float", "int", "bool", "len", "any", "all"),
    *("range", "zip", "enumerate", "tuple", "list", "dict"),
)
"""Python's own functions; what they do is in `calls`."""
