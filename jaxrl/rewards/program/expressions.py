"""The value of an expression, node by node."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.rewards.program import operators, table
from jaxrl.rewards.program.calls import dotted, from_module, invoke
from jaxrl.rewards.program.machine import Helper, Machine, Scope
from jaxrl.rewards.program.numerals import as_float
from jaxrl.rewards.program.refusal import (
    MAX_AXES,
    MAX_COMPONENTS,
    nearest,
    quoted,
    refuse,
)
from jaxrl.rewards.program.values import (
    Components,
    State,
    component_name,
    elements,
    item_of,
    kind_of,
    numeric,
    scalar,
    select,
    truth,
)


def value_of(machine: Machine, node: ast.expr, scope: Scope) -> Any:
    """The value of an expression; raises `ProgramError` where it has none."""
    with machine.visit(node.lineno):
        return _EXPRESSIONS[type(node)](machine, node, scope)


def condition_of(machine: Machine, node: ast.expr, scope: Scope) -> Any:
    """An expression as a condition: Python's truth, or a traced one."""
    value = value_of(machine, node, scope)
    return machine.decided(machine.apply(node.lineno, truth, value, node.lineno))


def _constant(machine: Machine, node: ast.Constant, scope: Scope) -> Any:
    return node.value


def _name(machine: Machine, node: ast.Name, scope: Scope) -> Any:
    program, name = machine.program, node.id
    value = scope.find(name, node.lineno)
    if value is not None and not isinstance(value, Helper):
        return value
    imported = program.imported.get(name, "").rpartition(".")[2]
    if imported in table.CONSTANTS:
        return table.CONSTANTS[imported]
    if imported in table.KINDS or name in ("float", "int", "bool"):
        return table.KINDS[imported or name]
    if isinstance(value, Helper) or imported or name in (*program.modules, *table.BUILTINS):
        raise refuse(node.lineno, f"{name} without a call", f"call it: {name}(...)")
    raise refuse(node.lineno, f"unknown name {name}", nearest(name, scope.all_names()))


def _attribute(machine: Machine, node: ast.Attribute, scope: Scope) -> Any:
    name = from_module(machine, node)
    if name is not None:
        if name in table.CONSTANTS:
            return table.CONSTANTS[name]
        if name in table.KINDS:
            return table.KINDS[name]
        what = f"{dotted(node)} is no constant"
        raise refuse(node.lineno, what, "call it" if name in table.FUNCTIONS else "write a number")
    value = value_of(machine, node.value, scope)
    if isinstance(value, State):
        return value.get(node.attr, node.lineno)
    advice = "write state.NAME or state['NAME'] for quantities, and functions as jnp.NAME(x)"
    raise refuse(node.lineno, f"attribute {node.attr} of {kind_of(value)}", advice)


def _subscript(machine: Machine, node: ast.Subscript, scope: Scope) -> Any:
    value, line = value_of(machine, node.value, scope), node.lineno
    key = _key(machine, node.slice, scope)
    if isinstance(value, State):
        if isinstance(key, str):
            return value.get(key, line)
        value = value.unpack(line)
    if isinstance(value, Components):
        return value.item(key, line)
    if isinstance(value, tuple):
        if isinstance(key, (int, slice)):
            return machine.apply(line, lambda: value[key])
        value = machine.apply(line, numeric, value, line)
    if not isinstance(value, jax.Array):
        raise refuse(line, f"an index of {kind_of(value)}", "index tuples and arrays")
    if isinstance(key, str):
        raise refuse(
            line, f"{quoted(key)} of {kind_of(value)}", "write state['NAME'] for quantities"
        )
    return machine.indexed(line, value, key)


def _key(machine: Machine, node: ast.expr, scope: Scope) -> Any:
    """What stands in brackets: a name, an integer, a slice, or a tuple of such."""
    if isinstance(node, ast.Slice):
        ends = (node.lower, node.upper, node.step)
        return slice(*(None if end is None else _whole(machine, end, scope) for end in ends))
    if isinstance(node, ast.Tuple):
        if len(node.elts) > MAX_AXES:
            raise refuse(node.lineno, f"{len(node.elts)} indices", f"use up to {MAX_AXES}")
        return tuple(_key(machine, part, scope) for part in node.elts)
    value = value_of(machine, node, scope)
    if isinstance(value, str) or value is None or value is ...:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, jax.Array) and machine.is_whole(value):
        return scalar(value, node.lineno, "an index").astype(jnp.int32)
    advice = "use an integer, or int(...) of a number"
    raise refuse(node.lineno, f"{kind_of(value)} as an index", advice)


def _whole(machine: Machine, node: ast.expr, scope: Scope) -> int:
    value = value_of(machine, node, scope)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise refuse(node.lineno, "a bound of a slice that is no integer", "write an integer")


def _tuple(machine: Machine, node: ast.Tuple | ast.List, scope: Scope) -> Any:
    items: list[Any] = []
    for part in node.elts:
        machine.kept(node.lineno, items)
        if isinstance(part, ast.Starred):
            items += elements(value_of(machine, part.value, scope), part.lineno)
        else:
            items.append(value_of(machine, part, scope))
    return machine.kept(node.lineno, tuple(items))


def _dict(machine: Machine, node: ast.Dict, scope: Scope) -> Any:
    items = {}
    for key_node, value_node in zip(node.keys, node.values, strict=True):
        key = value_of(machine, key_node, scope)  # never None: ** is refused before
        value = value_of(machine, value_node, scope)
        items[component_name(key, key_node.lineno)] = item_of(value, value_node.lineno)
    return bounded(machine, Components(items), node.lineno)


def bounded(machine: Machine, components: Components, line: int) -> Components:
    """Components, if they are not too many."""
    if len(components) > MAX_COMPONENTS:
        raise refuse(line, f"more than {MAX_COMPONENTS} components", "join some of them")
    return machine.kept(line, components)


def _binary(machine: Machine, node: ast.BinOp, scope: Scope) -> Any:
    a, b = value_of(machine, node.left, scope), value_of(machine, node.right, scope)
    return combine(machine, type(node.op), a, b, node.lineno)


def combine(machine: Machine, kind: type[ast.operator], a: Any, b: Any, line: int) -> Any:
    """`a kind b`."""
    if kind is ast.MatMult:
        return machine.product(line, lambda a, b: jnp.matmul(as_float(a), as_float(b)), a, b)
    value = machine.apply(line, operators.binary, kind, a, b, line)
    whole = kind in operators.WHOLE and machine.is_whole(a) and machine.is_whole(b)
    return machine.whole(value) if whole and isinstance(value, jax.Array) else value


def _unary(machine: Machine, node: ast.UnaryOp, scope: Scope) -> Any:
    if isinstance(node.op, ast.Not):
        holds = condition_of(machine, node.operand, scope)
        if isinstance(holds, bool):
            return not holds
        return machine.apply(node.lineno, jnp.logical_not, holds)
    value = value_of(machine, node.operand, scope)
    return machine.apply(node.lineno, operators.unary, type(node.op), value, node.lineno)


def _comparison(machine: Machine, node: ast.Compare, scope: Scope) -> Any:
    """A chain `a < b <= c`, which is `a < b and b <= c`."""
    left, line = value_of(machine, node.left, scope), node.lineno
    result: Any = None
    for kind, right_node in zip(node.ops, node.comparators, strict=True):
        right = value_of(machine, right_node, scope)
        holds = machine.apply(line, operators.compare, type(kind), left, right, line)
        if isinstance(result, bool) and isinstance(holds, bool):
            result = result and holds
        else:
            result = (
                holds if result is None else machine.apply(line, jnp.logical_and, result, holds)
            )
        left = right
    return result


def _logic(machine: Machine, node: ast.BoolOp, scope: Scope) -> Any:
    """`a and b` is `b` where `a` holds, else `a`; `a or b` the other way round."""
    is_and = isinstance(node.op, ast.And)
    result = value_of(machine, node.values[0], scope)
    for right_node in node.values[1:]:
        holds = machine.decided(machine.apply(node.lineno, truth, result, node.lineno))
        if isinstance(holds, bool):  # decided by the text alone: as in Python
            if holds is is_and:
                result = value_of(machine, right_node, scope)
            continue
        right = value_of(machine, right_node, scope)
        yes, no = (right, result) if is_and else (result, right)
        result = machine.apply(node.lineno, select, holds, yes, no, node.lineno)
    return result


def _choice(machine: Machine, node: ast.IfExp, scope: Scope) -> Any:
    holds = condition_of(machine, node.test, scope)
    if isinstance(holds, bool):
        return value_of(machine, node.body if holds else node.orelse, scope)
    yes, no = value_of(machine, node.body, scope), value_of(machine, node.orelse, scope)
    return machine.apply(node.lineno, select, holds, yes, no, node.lineno)


def _call(machine: Machine, node: ast.Call, scope: Scope) -> Any:
    args = [value_of(machine, arg, scope) for arg in node.args]
    keywords = {
        keyword.arg: value_of(machine, keyword.value, scope)
        for keyword in node.keywords
        if keyword.arg is not None
    }
    owner: Any = None
    if isinstance(node.func, ast.Attribute) and from_module(machine, node.func) is None:
        owner = value_of(machine, node.func.value, scope)
    return invoke(machine, node, scope, owner, args, keywords)


def _starred(machine: Machine, node: ast.Starred, scope: Scope) -> Any:
    raise refuse(node.lineno, "* outside of a tuple", "write the elements out")


def _slice(machine: Machine, node: ast.Slice, scope: Scope) -> Any:
    raise refuse(node.lineno, "a slice outside of brackets", "write x[1:2]")


_EXPRESSIONS: dict[type[ast.expr], Callable[[Machine, Any, Scope], Any]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.Tuple: _tuple,
    ast.List: _tuple,
    ast.Dict: _dict,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.Compare: _comparison,
    ast.BoolOp: _logic,
    ast.IfExp: _choice,
    ast.Call: _call,
    ast.Starred: _starred,
    ast.Slice: _slice,
}
