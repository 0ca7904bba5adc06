"""Calls: of the table's functions and methods, of Python's builtins, and of the program's helpers.

What is called is found by its spelling. No value of the program is ever asked what it can do.
"""

from __future__ import annotations

import ast
from typing import Any

import jax

from jaxrl.rewards.program import libraries, table
from jaxrl.rewards.program.builtin import builtin
from jaxrl.rewards.program.machine import Helper, Machine, Scope
from jaxrl.rewards.program.numerals import is_static
from jaxrl.rewards.program.refusal import nearest, refuse
from jaxrl.rewards.program.values import (
    Addends,
    Components,
    Kind,
    State,
    elements,
    kind_of,
    numeric,
)

EXTREMES = ("max", "min")
PRODUCTS = ("dot", "inner", "matmul", "outer")
BY_LIBRARY = "numpy and torch do not mean the same by it"


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
            return _from_table(machine, node, program.imported[func.id], args, keywords)
        if func.id in table.BUILTINS:
            return _built_in(machine, func.id, args, keywords, line)
        raise refuse(line, f"unknown function {func.id}", _known(func.id))
    if not isinstance(func, ast.Attribute):
        raise refuse(line, "a call of what is no name", "call functions by their names")
    name = from_module(machine, func)
    if name is not None:
        module = program.modules[dotted(func).partition(".")[0]]
        return _from_table(machine, node, f"{module}.{name}", args, keywords)
    if isinstance(owner, Components) and func.attr in ("values", "keys", "items") and not args:
        return machine.kept(line, _items(owner, func.attr, line))
    if isinstance(owner, State):
        advice = "write state['NAME'] or state.NAME"
        raise refuse(line, f"method {func.attr} of {kind_of(owner)}", advice)
    if func.attr not in table.METHODS or isinstance(owner, (Addends, Components, str, Kind)):
        advice = nearest(func.attr, table.METHODS)
        raise refuse(line, f"method {func.attr} of {kind_of(owner)}", advice)
    if program.torch and (
        func.attr in libraries.OTHERS_BY_TORCH or (func.attr in EXTREMES and (args or keywords))
    ):
        advice = f"write np.{func.attr}(x) or torch.{func.attr}(x)"
        raise refuse(line, f"method {func.attr}, {BY_LIBRARY}", advice)
    method = table.METHODS[func.attr]
    if func.attr == "reshape" and len(args) > 1:
        args = [tuple(args)]
    return _bound(machine, func.attr, method, [owner, *args], keywords, line)


def _built_in(
    machine: Machine, name: str, args: list[Any], keywords: dict[str, Any], line: int
) -> Any:
    value = machine.apply(line, builtin, name, args, keywords, line)
    whole = name == "int" or (name == "round" and len(args) == 1)
    if name in ("abs", "max", "min"):
        whole = all(map(machine.is_whole, args))
    return machine.whole(value) if whole and isinstance(value, jax.Array) else value


def _from_table(
    machine: Machine, node: ast.Call, path: str, args: list[Any], keywords: dict[str, Any]
) -> Any:
    """Calls a function by its module and name, `jax.numpy.exp`."""
    name, line = path.rpartition(".")[2], node.lineno
    entry = libraries.entry(path)
    if entry is None:
        raise refuse(line, f"unknown function {dotted(node.func)}", _known(name))
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
    if name in PRODUCTS:
        return machine.product(line, entry.call, *values)
    value = machine.apply(line, entry.call, *values)
    kinds = [kind for kind in (table.KINDS.get(name), *values) if isinstance(kind, Kind)]
    return machine.whole(value) if any(kind.whole for kind in kinds) else value


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
    if param == "axis" and any(type(part) is not int for part in parts):
        raise refuse(line, f"axis of {name} that is no integer", "write an integer")
    return value


def _items(components: Components, method: str, line: int) -> Any:
    if method == "values":
        values = tuple(components.values())
        return Addends(values) if components.gaps else values
    names = components.names(line)
    return tuple((name, components[name]) for name in names) if method == "items" else names
