"""Calls: of the table's functions and methods, of Python's builtins, and of the program's helpers.

What is called is found by its spelling. No value of the program is ever asked what it can do.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.rewards.program import table
from jaxrl.rewards.program.machine import Helper, Machine, Scope
from jaxrl.rewards.program.operators import binary
from jaxrl.rewards.program.refusal import MAX_LOOP, nearest, refuse
from jaxrl.rewards.program.values import (
    Components,
    Kind,
    State,
    arithmetic,
    elements,
    is_static,
    kind_of,
    numeric,
    scalar,
    truth,
)


def dotted(node: ast.expr) -> str:
    """A chain of names as it is written, `jnp.linalg.norm`; "" for another expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def from_module(machine: Machine, node: ast.Attribute) -> str | None:
    """The last name of a chain that begins with a module; None for another chain.

    Raises `ProgramError` for a part of a module that holds none of the table's functions.
    """
    first, _, rest = dotted(node).partition(".")
    module = machine.program.modules.get(first)
    if module is None:
        return None
    inner, _, name = rest.rpartition(".")
    path = f"{module}.{inner}" if inner else module
    if path not in table.MODULES:
        advice = "use functions of jnp, np, math and torch by their names"
        raise refuse(node.lineno, f"{dotted(node)} is not in the table", advice)
    return name


def invoke(
    machine: Machine,
    node: ast.Call,
    scope: Scope,
    owner: Any,
    args: list[Any],
    keywords: dict[str, Any],
) -> Any:
    """The value of a call whose arguments have values; `owner` is what a method is called on."""
    func, line, program = node.func, node.lineno, machine.program
    if isinstance(func, ast.Name):
        helper = scope.find(func.id, line)
        if isinstance(helper, Helper):
            return machine.call(machine, helper, args, keywords, line)
        if helper is not None:
            raise refuse(line, f"{func.id} is {kind_of(helper)}, no function", "call a function")
        if func.id in program.imported:
            return _from_table(machine, program.imported[func.id], "", args, keywords, line)
        if func.id in table.BUILTINS:
            return machine.apply(line, _builtin, func.id, args, keywords, line)
        raise refuse(line, f"unknown function {func.id}", _known(func.id))
    if not isinstance(func, ast.Attribute):
        raise refuse(line, "a call of what is no name", "call functions by their names")
    name = from_module(machine, func)
    if name is not None:
        return _from_table(machine, name, dotted(func), args, keywords, line)
    if isinstance(owner, Components) and func.attr in ("values", "keys", "items") and not args:
        return machine.kept(line, _items(owner, func.attr))
    if isinstance(owner, State):
        advice = "write state['NAME'] or state.NAME"
        raise refuse(line, f"method {func.attr} of {kind_of(owner)}", advice)
    if func.attr not in table.METHODS or isinstance(owner, (Components, str, Kind)):
        advice = nearest(func.attr, table.METHODS)
        raise refuse(line, f"method {func.attr} of {kind_of(owner)}", advice)
    method = table.METHODS[func.attr]
    if func.attr == "reshape" and len(args) > 1:
        args = [tuple(args)]
    return _bound(machine, func.attr, method, [owner, *args], keywords, line)


def _from_table(
    machine: Machine, name: str, path: str, args: list[Any], keywords: dict[str, Any], line: int
) -> Any:
    entry = table.FUNCTIONS.get(name)
    root = machine.program.modules.get(path.partition(".")[0], "")
    if root.startswith("torch"):
        entry = table.BY_TORCH.get(name, entry)
    if entry is None:
        raise refuse(line, f"unknown function {path or name}", _known(name))
    if name == "hypot":
        args = [tuple(args)]
    return _bound(machine, name, entry, args, keywords, line)


def _known(name: str) -> str:
    """Advice on a function that is not in the table, which is too long to be shown."""
    advice = nearest(name, sorted({*table.FUNCTIONS, *table.BUILTINS}))
    if advice.startswith("there"):
        return "use functions such as abs, clip, cos, exp, maximum, minimum, sqrt, tanh and where"
    return advice


def _bound(
    machine: Machine,
    name: str,
    entry: table.Function,
    args: list[Any],
    keywords: dict[str, Any],
    line: int,
) -> Any:
    """Calls an entry of the table, its arguments put in place."""
    given = dict(zip(entry.params, args, strict=False))
    signature = f"{name}({', '.join(entry.params)})"
    if len(args) > len(entry.params):
        raise refuse(line, f"{len(args)} arguments of {name}", f"write {signature}")
    for keyword, value in keywords.items():
        param = keyword if keyword in entry.params else table.SAME.get(keyword, "")
        if param not in entry.params or param in given:
            raise refuse(line, f"argument {keyword} of {name}", f"write {signature}")
        given[param] = value
    missing = [param for param in entry.params[: entry.required] if given.get(param) is None]
    if missing:
        raise refuse(line, f"{name} without {missing[0]}", f"write {signature}")
    values = [_argument(machine, name, entry, p, given.get(p), line) for p in entry.params]
    return machine.apply(line, entry.call, *values)


def _argument(
    machine: Machine, name: str, entry: table.Function, param: str, value: Any, line: int
) -> Any:
    if value is None:
        return None
    if param in entry.raw:
        return tuple(numeric(item, line) for item in elements(value, line))
    if param not in entry.static:
        return machine.apply(line, numeric, value, line, f"{name} takes numbers and arrays")
    parts = value if isinstance(value, tuple) else (value,)
    if not all(is_static(part) or isinstance(part, Kind) for part in parts):
        raise refuse(line, f"{param} of {name} that depends on the state", "write a number")
    return value


def _items(components: Components, method: str) -> tuple[Any, ...]:
    if method == "items":
        return tuple(components.items())
    return tuple(components.values() if method == "values" else components)


def _builtin(name: str, args: list[Any], keywords: dict[str, Any], line: int) -> Any:
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
    for part in elements(args[0], line):
        total = binary(ast.Add, total, numeric(part, line), line)
    return total


def _round(args: list[Any], line: int) -> Any:
    x, digits = numeric(args[0], line), args[1] if len(args) > 1 else None
    if digits is not None and not isinstance(digits, int):
        raise refuse(line, "digits of round that are no integer", "write an integer")
    if is_static(x):
        return round(x, digits)
    return jnp.round(arithmetic(x), digits or 0)


def _number(plain: type, dtype: Any) -> Callable[..., Any]:
    def call(args: list[Any], line: int) -> Any:
        value = scalar(args[0], line, f"the argument of {plain.__name__}")
        return plain(value) if is_static(value) else value.astype(dtype)

    return call


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
    "float": _number(float, jnp.float32),
    "int": _number(int, jnp.int32),
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
