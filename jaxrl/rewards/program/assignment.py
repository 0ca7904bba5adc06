"""What assignments do: to names, to items of a function's own dicts, and to several at once."""

from __future__ import annotations

import ast
from typing import Any

import jax

from jaxrl.rewards.program.expressions import bounded, combine, value_of
from jaxrl.rewards.program.machine import Machine, Scope
from jaxrl.rewards.program.refusal import refuse
from jaxrl.rewards.program.values import (
    Components,
    component_name,
    elements,
    item_of,
    kind_of,
    owned,
)


def assign(machine: Machine, target: ast.expr, value: Any, scope: Scope) -> None:
    """Gives a value to a name, to an item of a dict, or its elements to several."""
    if isinstance(target, ast.Name):
        if value is None or value is ...:
            raise refuse(target.lineno, f"{kind_of(value)} as a value", "assign a number")
        scope.names[target.id] = owned(value, scope, target.lineno)
    elif isinstance(target, (ast.Tuple, ast.List)):
        _unpack(machine, target, value, scope)
    elif isinstance(target, ast.Subscript):
        _set_item(machine, target, value, scope)
    else:
        raise refuse(target.lineno, "assignment to what is no name", "give the value a name")


def _unpack(machine: Machine, target: ast.Tuple | ast.List, value: Any, scope: Scope) -> None:
    line, targets = target.lineno, target.elts
    items = machine.apply(line, elements, value, line)
    starred = [i for i, t in enumerate(targets) if isinstance(t, ast.Starred)]
    if len(starred) == 1:
        start, rest = starred[0], len(targets) - starred[0] - 1
        if len(items) >= len(targets) - 1:
            middle = items[start : len(items) - rest]
            items = (*items[:start], middle, *items[len(items) - rest :])
    if len(items) != len(targets):
        order = getattr(value, "order", "")
        advice = f"the quantities are {order}" if order else "take as many names as values"
        raise refuse(line, f"{len(items)} values for {len(targets)} names", advice)
    for part, item in zip(targets, items, strict=True):
        part = part.value if isinstance(part, ast.Starred) else part
        assign(machine, part, item, scope)


def _dict_of(target: ast.Subscript, scope: Scope) -> tuple[str, Components]:
    """Name and value of the dict whose item is assigned."""
    name = target.value.id if isinstance(target.value, ast.Name) else ""
    value = scope.names.get(name)
    if isinstance(value, Components) and value.owner is scope:
        return name, value
    reason = f"assignment to an item of {kind_of(value) if name in scope.names else 'no own dict'}"
    raise refuse(
        target.lineno, reason, "assign to items of a dict that this function made, or return them"
    )


def _set_item(machine: Machine, target: ast.Subscript, value: Any, scope: Scope) -> None:
    name, components = _dict_of(target, scope)
    key = component_name(value_of(machine, target.slice, scope), target.lineno)
    items = components | {key: item_of(value, target.lineno)}
    changed = Components(items, scope, components.gaps - {key})
    scope.names[name] = bounded(machine, changed, target.lineno)


def augment(machine: Machine, node: ast.AugAssign, scope: Scope) -> None:
    """Changes the value of a name or of an item, `x += y`."""
    target = node.target
    if isinstance(target, ast.Subscript):
        key = component_name(value_of(machine, target.slice, scope), node.lineno)
        old = _dict_of(target, scope)[1].item(key, node.lineno)
    elif isinstance(target, ast.Name):
        old = scope.find(target.id, node.lineno)
    else:
        old = None
    if old is None:
        raise refuse(node.lineno, "what is to be changed has no value yet", "assign it before")
    if isinstance(old, jax.Array) and old.ndim:  # where it is in place, all its names change
        reason = "an array that is changed in place by numpy and torch, and not by jnp"
        raise refuse(node.lineno, reason, "write x = x + y in place of x += y")
    new = combine(machine, type(node.op), old, value_of(machine, node.value, scope), node.lineno)
    assign(machine, target, new, scope)
