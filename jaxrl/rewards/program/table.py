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

from jaxrl.rewards.program.values import Kind, arithmetic, as_float

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


def _on_numbers(call: Callable[..., Any]) -> Callable[..., Any]:
    """A function of numbers, for which truths count 0 or 1."""
    return lambda *args: call(*(arithmetic(a) for a in args))


def _on_floats(call: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: call(*(as_float(a) for a in args))


def _clip(x: Any, low: Any, high: Any) -> Any:
    return jnp.clip(arithmetic(x), low, high)


def _where(cond: Any, yes: Any, no: Any) -> Any:
    return jnp.where(_truths(cond), yes, no)


def _truths(x: Any) -> Any:
    return jnp.asarray(x).astype(bool)


def _reduce(call: Callable[..., Any], x: Any, axis: Any, keepdims: Any) -> Any:
    return call(arithmetic(jnp.asarray(x)), axis=axis, keepdims=bool(keepdims))


def _spread(call: Callable[..., Any], default: int, x: Any, axis: Any, ddof: Any) -> Any:
    """A deviation or variance; numpy divides by n, torch by n - 1."""
    ddof = default if ddof is None else int(ddof)
    return call(jnp.asarray(as_float(x)), axis=axis, ddof=ddof)


def _norm(x: Any, order: Any, axis: Any, keepdims: Any) -> Any:
    x = jnp.asarray(as_float(x))
    flat = x.ravel() if axis is None else x
    return jnp.linalg.norm(flat, ord=order, axis=axis, keepdims=bool(keepdims))


def _array(x: Any, kind: Any) -> Any:
    x = jnp.asarray(x)
    return x if kind is None else x.astype(kind.dtype)


def _full_like(x: Any, value: Any) -> Any:
    return jnp.full_like(jnp.asarray(x), value, dtype=jnp.float32)


def _log(x: Any, base: Any) -> Any:
    x = jnp.log(as_float(x))
    return x if base is None else x / jnp.log(as_float(base))


def _hypot(xs: tuple[Any, ...]) -> Any:
    return jnp.linalg.norm(jnp.stack([jnp.asarray(as_float(x)) for x in xs]), axis=0)


def _round(x: Any, decimals: Any) -> Any:
    return jnp.round(arithmetic(jnp.asarray(x)), int(decimals or 0))


def _torch_extreme(pair: Callable[..., Any], all_of: Callable[..., Any], x: Any, y: Any) -> Any:
    """`torch.max(x)` or `torch.max(x, y)`, whose second argument is no axis."""
    return all_of(arithmetic(jnp.asarray(x))) if y is None else pair(arithmetic(x), arithmetic(y))


def _isclose(x: Any, y: Any, rtol: Any, atol: Any) -> Any:
    rtol, atol = (1e-5 if rtol is None else rtol), (1e-8 if atol is None else atol)
    return jnp.isclose(arithmetic(x), arithmetic(y), rtol=rtol, atol=atol)


def _select(conds: tuple[Any, ...], choices: tuple[Any, ...], default: Any) -> Any:
    """The choice of the first condition that holds."""
    if len(conds) != len(choices):
        raise ValueError("as many choices as conditions are needed")
    result: Any = 0 if default is None else default
    for cond, choice in reversed(list(zip(conds, choices, strict=True))):
        result = _where(cond, choice, result)
    return result


def _join(call: Callable[..., Any], xs: tuple[Any, ...], axis: Any) -> Any:
    return call([jnp.asarray(x) for x in xs], axis=int(axis or 0))


def _reshape(x: Any, shape: Any) -> Any:
    return jnp.asarray(x).reshape(shape if isinstance(shape, tuple) else (shape,))


def _squeeze(x: Any, axis: Any) -> Any:
    return jnp.squeeze(jnp.asarray(x), axis)


FUNCTIONS: dict[str, Function] = {}
"""Name to entry, whatever module it is asked of."""


def _add(names: str, call: Callable[..., Any], spec: str) -> None:
    FUNCTIONS.update(dict.fromkeys(names.split(), function(call, spec)))


for _names, _call in {
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
}.items():
    _add(_names, _on_floats(_call), "x")
for _names, _call in {
    "abs absolute fabs": jnp.abs,
    "sign": jnp.sign,
    "floor": jnp.floor,
    "ceil": jnp.ceil,
    "trunc": jnp.trunc,
    "rint": jnp.rint,
    "negative": jnp.negative,
    "positive": lambda x: x,
    "relu": jax.nn.relu,
}.items():
    _add(_names, _on_numbers(_call), "x")
for _names, _call in {
    "maximum fmax": jnp.maximum,
    "minimum fmin": jnp.minimum,
    "add": jnp.add,
    "subtract sub": jnp.subtract,
    "equal eq": jnp.equal,
    "not_equal ne": jnp.not_equal,
    "greater gt": jnp.greater,
    "greater_equal ge": jnp.greater_equal,
    "less lt": jnp.less,
    "less_equal le": jnp.less_equal,
}.items():
    _add(_names, _on_numbers(_call), "x y")
for _names, _call in {
    "multiply mul": jnp.multiply,
    "divide true_divide div": jnp.true_divide,
    "floor_divide": jnp.floor_divide,
    "mod remainder": jnp.remainder,
    "fmod": jnp.fmod,
    "power pow float_power": jnp.power,
    "arctan2 atan2": jnp.arctan2,
    "copysign": jnp.copysign,
    "heaviside": jnp.heaviside,
}.items():
    _add(_names, _on_floats(_call), "x y")
for _names, _call in {"dot inner": jnp.dot, "matmul": jnp.matmul, "outer": jnp.outer}.items():
    _add(_names, _on_floats(_call), "x y")
for _names, _call in {
    "logical_and": jnp.logical_and,
    "logical_or": jnp.logical_or,
    "logical_xor": jnp.logical_xor,
}.items():
    _add(_names, _call, "x y")
for _names, _call in {
    "sum": jnp.sum,
    "mean": jnp.mean,
    "prod": jnp.prod,
    "max amax": jnp.max,
    "min amin": jnp.min,
}.items():
    _add(_names, partial(_reduce, _call), "x axis?! keepdims?!")
for _names, _call in {"any": jnp.any, "all": jnp.all}.items():
    _add(_names, lambda x, axis, call=_call: call(_truths(x), axis=axis), "x axis?!")
for _names, _call in {"argmax": jnp.argmax, "argmin": jnp.argmin}.items():
    _add(_names, lambda x, axis, call=_call: call(jnp.asarray(x), axis=axis), "x axis?!")
for _names, _call in {"std": jnp.std, "var": jnp.var}.items():
    _add(_names, partial(_spread, _call, 0), "x axis?! ddof?!")
for _names, _call in {"zeros_like": 0.0, "ones_like": 1.0}.items():
    _add(_names, lambda x, value=_call: _full_like(x, value), "x")
for _names, _kind in KINDS.items():
    _add(_names, lambda x, kind=_kind: _array(x, kind), "x")

_add("logical_not", jnp.logical_not, "x")
_add("log", _log, "x base?")
_add("hypot", _hypot, "xs*")
_add("where", _where, "cond x y")
_add("select", _select, "condlist* choicelist* default?")
_add("clip clamp", _clip, "x min? max?")
_add("round around", _round, "x decimals?!")
_add("isclose", _isclose, "x y rtol?! atol?!")
_add("norm vector_norm", _norm, "x ord?! axis?! keepdims?!")
_add("full_like", _full_like, "x fill_value")
_add("array asarray tensor as_tensor", _array, "x dtype?!")
_add("stack", partial(_join, jnp.stack), "xs* axis?!")
_add("concatenate concat cat", partial(_join, jnp.concatenate), "xs* axis?!")
_add("hstack", lambda xs: jnp.hstack([jnp.asarray(x) for x in xs]), "xs*")
_add("ravel flatten", lambda x: jnp.ravel(jnp.asarray(x)), "x")
_add("squeeze", _squeeze, "x axis?!")

SPREAD_BY_TORCH = {
    name: function(partial(_spread, call, 1), "x axis?! correction?!")
    for name, call in {"std": jnp.std, "var": jnp.var}.items()
}
EXTREME_BY_TORCH = {
    "max": function(partial(_torch_extreme, jnp.maximum, jnp.max), "x y?"),
    "min": function(partial(_torch_extreme, jnp.minimum, jnp.min), "x y?"),
}
BY_TORCH = SPREAD_BY_TORCH | EXTREME_BY_TORCH
"""Functions that mean something else where torch is asked for them."""

METHODS: dict[str, Function] = {
    name: FUNCTIONS[name]
    for name in (
        *("sum", "mean", "prod", "max", "min", "any", "all", "std", "var", "argmax", "argmin"),
        *("clip", "clamp", "abs", "round", "exp", "log", "sqrt", "square", "pow", "sin", "cos"),
        *("tanh", "sigmoid", "sign", "floor", "ceil", "dot", "norm", "ravel", "flatten"),
        *("squeeze", "float", "int", "bool"),
    )
} | {
    "astype": function(_array, "x dtype!"),
    "item": function(lambda x: jnp.asarray(x).reshape(()), "x"),
    "reshape": function(_reshape, "x shape!"),
    "detach": function(lambda x: x, "x"),
}
"""Name to entry of what can be written after an array's dot."""

BUILTINS = (
    *("abs", "min", "max", "sum", "round", "pow", "float", "int", "bool", "len", "any", "all"),
    *("range", "zip", "enumerate", "tuple", "list", "dict"),
)
"""Python's own functions; what they do is in `calls`."""
