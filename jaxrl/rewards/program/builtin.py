"""Python's builtins on a program's values, with Python's meaning."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.rewards.program.numerals import arithmetic, as_float, is_static
from jaxrl.rewards.program.operators import binary
from jaxrl.rewards.program.refusal import MAX_DIGITS_ROUNDED, MAX_LOOP, refuse
from jaxrl.rewards.program.values import Addends, Components, elements, numeric, scalar, truth


def builtin(name: str, args: list[Any], keywords: dict[str, Any], line: int) -> Any:
    """The value of a call of one of `table.BUILTINS`."""
    if name == "dict" and not args:
        return Components(keywords)
    if keywords:
        advice = f"give the arguments of {name} by position"
        raise refuse(line, f"argument {next(iter(keywords))} of {name}", advice)
    least, most = _ARITY[name]
    if not least <= len(args) <= most:
        raise refuse(line, f"{len(args)} arguments of {name}", "give it as many as in Python")
    return _BUILTINS[name](args, line)


def _extreme(plain: Callable[..., Any], traced: Callable[..., Any]) -> Callable[..., Any]:
    def call(args: list[Any], line: int) -> Any:
        parts = elements(args[0], line) if len(args) == 1 else args
        if not parts:
            raise refuse(line, "the extreme of nothing", "give it numbers")
        numbers = [numeric(part, line) for part in parts]
        if all(map(is_static, numbers)):
            return plain(numbers)
        result = arithmetic(numbers[0])
        for number in numbers[1:]:
            result = traced(result, arithmetic(number))
        return result

    return call


def _sum(args: list[Any], line: int) -> Any:
    total = args[1] if len(args) > 1 else 0
    parts = args[0].parts if isinstance(args[0], Addends) else elements(args[0], line)
    for part in parts:
        total = binary(ast.Add, total, numeric(part, line), line)
    return total


def _round(args: list[Any], line: int) -> Any:
    x, digits = numeric(args[0], line), args[1] if len(args) > 1 else None
    if digits is not None and not isinstance(digits, int):
        raise refuse(line, "digits of round that are no integer", "write an integer")
    if digits is not None and abs(digits) > MAX_DIGITS_ROUNDED:
        raise refuse(line, f"round to {digits} digits", f"write up to {MAX_DIGITS_ROUNDED}")
    if is_static(x):
        return round(x, digits)
    return jnp.round(as_float(x) if digits else arithmetic(x), digits or 0)


def _float(args: list[Any], line: int) -> Any:
    return as_float(scalar(args[0], line, "the argument of float"))


def _int(args: list[Any], line: int) -> Any:
    """Towards zero. Of a float as a float: too large for int32, or NaN, it stays what it is."""
    value = scalar(args[0], line, "the argument of int")
    if is_static(value):
        return int(value)
    return jnp.trunc(value) if jnp.issubdtype(value.dtype, jnp.floating) else arithmetic(value)


def _abs(args: list[Any], line: int) -> Any:
    value = numeric(args[0], line)
    return abs(value) if is_static(value) else jnp.abs(arithmetic(value))


def _bool(args: list[Any], line: int) -> Any:
    return truth(args[0], line)


def _quantified(combine: Callable[..., Any], start: bool) -> Callable[..., Any]:
    def call(args: list[Any], line: int) -> Any:
        result: Any = start
        for part in elements(args[0], line):
            result = combine(result, truth(part, line))
        return result

    return call


def _range(args: list[Any], line: int) -> Any:
    if not all(isinstance(arg, int) and not isinstance(arg, bool) for arg in args):
        raise refuse(line, "range of what is no integer", f"write range(n), n up to {MAX_LOOP}")
    numbers = range(*args)
    # By its ends, for the length of a long range is no number that Python gives.
    if numbers and abs(numbers[-1] - numbers[0]) >= MAX_LOOP * abs(numbers.step):
        raise refuse(line, f"more than {MAX_LOOP} passes", f"write range(n), n up to {MAX_LOOP}")
    return tuple(numbers)


def _zip(args: list[Any], line: int) -> Any:
    return tuple(zip(*(elements(arg, line) for arg in args), strict=False))


def _enumerate(args: list[Any], line: int) -> Any:
    return tuple(enumerate(elements(args[0], line)))


def _len(args: list[Any], line: int) -> Any:
    if isinstance(args[0], jax.Array) and args[0].ndim:
        return args[0].shape[0]
    if isinstance(args[0], Components):
        raise refuse(line, "len of a dict", "write the number")
    return len(elements(args[0], line))


def _dict(args: list[Any], line: int) -> Any:
    raise refuse(line, "dict of a value", "write {} or {'name': value}")


def _sequence(args: list[Any], line: int) -> Any:
    return elements(args[0], line) if args else ()


_BUILTINS: dict[str, Callable[[list[Any], int], Any]] = {
    "abs": _abs,
    "min": _extreme(min, jnp.minimum),
    "max": _extreme(max, jnp.maximum),
    "sum": _sum,
    "round": _round,
    "pow": lambda args, line: binary(ast.Pow, args[0], args[1], line),
    "float": _float,
    "int": _int,
    "bool": _bool,
    "len": _len,
    "any": _quantified(jnp.logical_or, False),
    "all": _quantified(jnp.logical_and, True),
    "range": _range,
    "zip": _zip,
    "enumerate": _enumerate,
    "tuple": _sequence,
    "list": _sequence,
    "dict": _dict,
}
_ARITY: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("abs", "float", "int", "bool", "len", "any", "all", "enumerate"), (1, 1)),
    **dict.fromkeys(("min", "max", "zip"), (1, MAX_LOOP)),
    **dict.fromkeys(("sum", "round"), (1, 2)),
    **dict.fromkeys(("tuple", "list"), (0, 1)),
    "dict": (0, 1),
    "pow": (2, 2),
    "range": (1, 3),
}
