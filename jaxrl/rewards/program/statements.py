"""What statements do: names, branches, loops and returns, on values that may be traced.

A branch on a traced condition is run both ways, and every name that it assigns is the value of one
path or of the other (`jnp.where`). A return on such a branch does not end the evaluation: what
follows is evaluated once, for the states that have not returned, so that early returns cost no more
than an `else` does. Values are selected and therefore right; the gradient of a selection is not a
number where the path not taken has none.
"""

from __future__ import annotations

import ast
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxrl.errors import ProgramError
from jaxrl.rewards.program.assignment import assign, augment
from jaxrl.rewards.program.expressions import condition_of, value_of
from jaxrl.rewards.program.machine import Helper, Machine, Scope
from jaxrl.rewards.program.refusal import MAX_CALLS, MAX_LOOP, refuse
from jaxrl.rewards.program.values import FRESH, Components, Torn, elements, owned, select


class Outcome(NamedTuple):
    """Whether a block has returned, a truth that may be traced, and what."""

    done: Any
    value: Any


RUNNING = Outcome(False, None)


def call_helper(
    machine: Machine, helper: Helper, args: list[Any], keywords: dict[str, Any], line: int
) -> Any:
    """The value of a helper for values of its arguments."""
    node = helper.node
    if node.name in machine.calls:
        raise refuse(line, f"{node.name} calls itself", "use a loop over range(n)")
    if len(machine.calls) > MAX_CALLS:
        raise refuse(line, f"more than {MAX_CALLS} helpers inside each other", "use fewer")
    scope = Scope(helper.scope, _assigned(node))
    scope.names.update(_arguments(machine, helper, args, keywords, line))
    machine.calls.append(node.name)
    outcome = run_block(machine, node.body, scope, RUNNING)
    machine.calls.pop()
    if outcome.done is not True:
        reason = f"{node.name} ends without a return on some path"
        raise refuse(node.lineno, reason, "return a value at its end")
    return _released(outcome.value, scope, line)


def _released(value: Any, scope: Scope, line: int) -> Any:
    """What a call gives: dicts among it lose the name that they had in its scope."""
    if isinstance(value, tuple):
        return tuple(_released(item, scope, line) for item in value)
    if not isinstance(value, Components):
        return value
    if value.owner not in (scope, FRESH):
        raise refuse(line, "a function that returns a dict of another", "return a dict of its own")
    return Components(value, gaps=value.gaps)


def run_block(
    machine: Machine, body: list[ast.stmt], scope: Scope, outcome: Outcome = RUNNING
) -> Outcome:
    """Runs statements for those that `outcome` says have not returned yet."""
    for node in body:
        if outcome.done is True:
            break
        with machine.visit(node.lineno):
            outcome = _run(machine, node, scope, outcome)
    return outcome


def _run(machine: Machine, node: ast.stmt, scope: Scope, outcome: Outcome) -> Outcome:
    if isinstance(node, ast.Return):
        value = () if node.value is None else value_of(machine, node.value, scope)
        return _after(machine, outcome, Outcome(True, value), node.lineno)
    if isinstance(node, ast.If):
        return _after(machine, outcome, _branch(machine, node, scope), node.lineno)
    if isinstance(node, ast.For):
        return _loop(machine, node, scope, outcome)
    if isinstance(node, ast.FunctionDef):
        scope.names[node.name] = Helper(node, scope)
    elif isinstance(node, ast.Assign):
        value = value_of(machine, node.value, scope)
        for target in node.targets:
            assign(machine, target, value, scope)
            value = owned(value, scope, node.lineno)  # so that a second target is a second name
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        assign(machine, node.target, value_of(machine, node.value, scope), scope)
    elif isinstance(node, ast.AugAssign):
        augment(machine, node, scope)
    return outcome  # imports, docstrings, pass and bare annotations do nothing


def _branch(machine: Machine, node: ast.If, scope: Scope) -> Outcome:
    holds = condition_of(machine, node.test, scope)
    if isinstance(holds, bool):
        return run_block(machine, node.body if holds else node.orelse, scope)
    before = dict(scope.names)
    yes = run_block(machine, node.body, scope)
    names_yes, scope.names = scope.names, before
    no = run_block(machine, node.orelse, scope)
    names_no = scope.names
    if yes.done is True or no.done is True:  # who has returned has no names any more
        scope.names = names_no if yes.done is True else names_yes
    else:
        scope.names = _joined(machine, holds, names_yes, names_no, node.lineno)
    if yes.done is no.done and isinstance(yes.done, bool):
        done: Any = yes.done
    else:
        done = machine.apply(node.lineno, jnp.where, holds, yes.done, no.done)
    if yes.done is False or no.done is False:
        return Outcome(done, no.value if yes.done is False else yes.value)
    return Outcome(done, _returned(machine, holds, yes.value, no.value, node.lineno))


def _joined(
    machine: Machine, holds: Any, yes: dict[str, Any], no: dict[str, Any], line: int
) -> dict[str, Any]:
    """The names after a branch: of one path or of the other, or torn where they do not fit."""
    joined: dict[str, Any] = {}
    for name in [*yes, *(name for name in no if name not in yes)]:
        if name not in yes or name not in no:
            joined[name] = Torn(f"has a value only on one path of the if in line {line}")
        elif yes[name] is no[name]:
            joined[name] = yes[name]
        elif isinstance(yes[name], Torn) or isinstance(no[name], Torn):
            joined[name] = yes[name] if isinstance(yes[name], Torn) else no[name]
        else:
            try:
                joined[name] = machine.apply(line, select, holds, yes[name], no[name], line)
            except ProgramError as error:  # no harm is done where nobody reads it
                joined[name] = Torn(f"cannot be used after the if: {error.refusals[0].reason}")
    return joined


def _after(machine: Machine, first: Outcome, then: Outcome, line: int) -> Outcome:
    """The outcome of two pieces of a block, the second being for those that have not returned."""
    if first.done is False:
        return then
    if then.done is False:
        return first
    value = _returned(machine, first.done, first.value, then.value, line)
    if then.done is True:
        return Outcome(True, value)
    return Outcome(machine.apply(line, jnp.logical_or, first.done, then.done), value)


def _returned(machine: Machine, holds: Any, yes: Any, no: Any, line: int) -> Any:
    """What is returned on one path or on the other; a total alone has no components."""
    yes_full, no_full = _has_components(yes), _has_components(no)
    if yes_full and not no_full:
        no = (no, Components({}, yes[1].owner))
    elif no_full and not yes_full:
        yes = (yes, Components({}, no[1].owner))
    return machine.apply(line, select, holds, yes, no, line)


def _has_components(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Components)


def _loop(machine: Machine, node: ast.For, scope: Scope, outcome: Outcome) -> Outcome:
    items = elements(value_of(machine, node.iter, scope), node.lineno)
    if len(items) > MAX_LOOP:
        raise refuse(node.lineno, f"{len(items)} passes", f"loop at most {MAX_LOOP} times")
    for item in items:
        assign(machine, node.target, item, scope)
        outcome = run_block(machine, node.body, scope, outcome)
    return outcome


def _arguments(
    machine: Machine, helper: Helper, args: list[Any], keywords: dict[str, Any], line: int
) -> dict[str, Any]:
    """The arguments of a call by name, defaults among them."""
    node, spec = helper.node, helper.node.args
    positional = [a.arg for a in (*spec.posonlyargs, *spec.args)]
    names = [*positional, *(a.arg for a in spec.kwonlyargs)]
    with_default = zip(
        positional[len(positional) - len(spec.defaults) :], spec.defaults, strict=True
    )
    given = {
        name: value_of(machine, default, helper.scope)
        for name, default in (
            *with_default,
            *zip([a.arg for a in spec.kwonlyargs], spec.kw_defaults, strict=True),
        )
        if default is not None
    }
    named = dict(zip(positional, args, strict=False))
    unknown = [name for name in keywords if name not in names or name in named]
    given |= named | keywords
    if len(args) > len(positional) or unknown or any(name not in given for name in names):
        signature = f"{node.name}({', '.join(names)})"
        raise refuse(line, f"arguments that do not fit {node.name}", f"write {signature}")
    for name, value in given.items():
        if isinstance(value, Components):  # what a helper did to it would not be seen here
            given[name] = Components(value, None, value.gaps)
        elif isinstance(value, Helper):
            raise refuse(line, f"a function as {name} of {node.name}", "call it by its name")
    return given


def _assigned(node: ast.FunctionDef) -> frozenset[str]:
    """Every name that a function's own statements assign."""
    found, todo = set(), list(node.body)
    while todo:
        child: ast.AST = todo.pop()
        if isinstance(child, ast.FunctionDef):
            found.add(child.name)
            continue
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            found.add(child.id)
        todo.extend(ast.iter_child_nodes(child))
    return frozenset(found)
