"""Python's operators on a program's values, with Python's meaning.

Integers that are multiplied become float32, and so do two of a state's that are added: Python's
have no end, and int32 would wrap around without a word. Truths count 0 or 1, `~` of a truth is
`not`.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from jaxrl.rewards.program.numerals import (
    added,
    arithmetic,
    as_float,
    is_number,
    is_static,
    is_truth,
)
from jaxrl.rewards.program.refusal import MAX_EXPONENT, MAX_STATIC, refuse
from jaxrl.rewards.program.values import kind_of, numeric

STATIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
WHOLE = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod)
"""Operators that make integers of integers."""
LOGICAL = {ast.BitAnd: jnp.logical_and, ast.BitOr: jnp.logical_or, ast.BitXor: jnp.logical_xor}


def binary(kind: type[ast.operator], a: Any, b: Any, line: int) -> Any:
    """`a kind b`, of numbers and arrays."""
    for value in (a, b):
        if not is_number(value):
            advice = "make an array of it with jnp.array, or use its elements"
            raise refuse(line, f"{kind_of(value)} in arithmetic", advice)
    if kind is ast.Pow:
        _check_exponent(b, line)
    if is_static(a) and is_static(b):
        return _static(kind, a, b, line)
    if kind in LOGICAL:
        if not (is_truth(a) and is_truth(b)):
            advice = "use and, or, not for conditions, and ** for powers"
            raise refuse(line, "&, | or ^ of numbers", advice)
        return LOGICAL[kind](a, b)
    if kind in (ast.Add, ast.Sub):
        if is_truth(a) and is_truth(b) and (jnp.ndim(a) or jnp.ndim(b)):
            advice = "use | for or, and .sum() to count"
            raise refuse(line, "+ or - of arrays of truths, which numpy does not count", advice)
        return added(jnp.add if kind is ast.Add else jnp.subtract, a, b)
    a, b = arithmetic(a), arithmetic(b)
    if kind is ast.Mult:
        return jnp.multiply(as_float(a), as_float(b))
    if kind is ast.Pow:
        return jnp.power(as_float(a), b if isinstance(b, int) else as_float(b))
    if kind in (ast.FloorDiv, ast.Mod):
        return _divided(kind, a, b, line)
    return jnp.true_divide(a, b)


def compare(kind: type[ast.cmpop], a: Any, b: Any, line: int) -> Any:
    """`a kind b`, a truth."""
    if kind in (ast.In, ast.NotIn):
        return _contains(a, b, line, negated=kind is ast.NotIn)
    if kind not in COMPARISONS:
        raise refuse(line, "is and is not", "use == and !=; no value is ever None")
    if isinstance(a, str) and isinstance(b, str) and kind in (ast.Eq, ast.NotEq):
        return COMPARISONS[kind](a, b)
    for value in (a, b):
        if not is_number(value):
            raise refuse(line, f"{kind_of(value)} in a comparison", "compare numbers")
    if not (is_static(a) and is_static(b)):
        a, b = arithmetic(a), arithmetic(b)
    return COMPARISONS[kind](a, b)


def unary(kind: type[ast.unaryop], a: Any, line: int) -> Any:
    """`-a`, `+a` or `~a`; `not` is a condition's."""
    a = numeric(a, line)
    if kind is ast.Invert:
        if not is_truth(a):
            raise refuse(line, "~ of a number", "use - or not")
        return (not a) if is_static(a) else jnp.logical_not(a)
    if is_static(a):
        return -a if kind is ast.USub else +a
    a = arithmetic(a)
    return jnp.negative(a) if kind is ast.USub else a


def _static(kind: type[ast.operator], a: Any, b: Any, line: int) -> Any:
    try:
        result = STATIC[kind](a, b)
    except (ZeroDivisionError, OverflowError, TypeError) as error:
        raise refuse(line, f"this cannot be computed ({error})", "write another number") from None
    if isinstance(result, complex) or not abs(result) <= MAX_STATIC:
        raise refuse(line, "the result is no number below 1e18", "write another number")
    return result


def _check_exponent(exponent: Any, line: int) -> None:
    if is_static(exponent) and abs(exponent) > MAX_EXPONENT:
        advice = f"use exponents up to {MAX_EXPONENT}, or jnp.exp"
        raise refuse(line, f"exponent {exponent:g}", advice)


def _divided(kind: type[ast.operator], a: Any, b: Any, line: int) -> Any:
    if is_static(b) and b == 0:
        raise refuse(line, "division by zero", "write another number")
    if not is_static(b):  # of integers, a division by zero would be a number all the same
        b = as_float(b)
    return (jnp.floor_divide if kind is ast.FloorDiv else jnp.remainder)(a, b)


def _contains(a: Any, group: Any, line: int, *, negated: bool) -> Any:
    if not isinstance(group, tuple):
        raise refuse(line, f"in of {kind_of(group)}", "use a tuple of numbers, or comparisons")
    found: Any = False
    for item in group:
        equal = compare(ast.Eq, a, item, line)
        both_static = isinstance(found, bool) and isinstance(equal, bool)
        found = (found or equal) if both_static else jnp.logical_or(found, equal)
    if not negated:
        return found
    return (not found) if isinstance(found, bool) else jnp.logical_not(found)
