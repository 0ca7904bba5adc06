"""A program's function called on states: the reward of a step, or the action of a rule."""

from __future__ import annotations

import ast
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.rewards.program.check import Checked
from jaxrl.rewards.program.machine import Helper, Machine, Scope
from jaxrl.rewards.program.numerals import as_float, is_number
from jaxrl.rewards.program.refusal import refuse
from jaxrl.rewards.program.schema import ActionSchema, Schema
from jaxrl.rewards.program.statements import call_helper, run_block
from jaxrl.rewards.program.values import Components, State, kind_of, numeric
from jaxrl.types import Array

TOTAL = "total"
"""The name under which the sum is reported, which no component may have."""


class RewardShape(NamedTuple):
    """What a program gives and what it takes: names of components, and of quantities read."""

    components: tuple[str, ...]
    reads: tuple[str, ...]


def evaluate(
    program: Checked,
    schema: Schema,
    state: dict[str, Any],
    action: Any,
    next_state: dict[str, Any],
    components: tuple[str, ...],
) -> tuple[Array, dict[str, Array]]:
    """The total and the components of one step."""
    machine = Machine(program, schema, call_helper)
    total, found = _reward(machine, state, action, next_state)
    return total, {name: found[name] for name in components}


def shape_of_reward(program: Checked, schema: Schema) -> RewardShape:
    """Evaluates a program on shapes alone; raises `ProgramError` where it cannot be."""
    machine = Machine(program, schema, call_helper)
    names: list[str] = []

    def run(state: dict[str, Any], action: Any, next_state: dict[str, Any]) -> Array:
        total, components = _reward(machine, state, action, next_state)
        names[:] = components
        return total

    jax.eval_shape(run, schema.like, schema.action.like, schema.like)
    return RewardShape(tuple(names), _in_order(machine, schema))


def line_of_trouble(
    program: Checked,
    schema: Schema,
    state: dict[str, Any],
    action: Any,
    next_state: dict[str, Any],
) -> int | None:
    """The first line whose result is not finite, on one concrete step; None if every one is.

    Only the path that Python would take is taken, so that it is a line that matters.
    """
    machine = Machine(program, schema, call_helper, watch=True)
    _reward(machine, state, action, next_state)
    return machine.first_bad


def read_by(
    program: Checked, schema: Schema, action: ActionSchema, state: dict[str, Any]
) -> tuple[Array, tuple[str, ...]]:
    """The action of a rule in one state, and the names of the quantities it read."""
    machine = Machine(program, schema, call_helper, integers=True)
    helper, line = _entry(machine, "act")
    value = call_helper(machine, helper, [_state(machine, state)], {}, line)
    return _action(value, action, line), _in_order(machine, schema)


def _in_order(machine: Machine, schema: Schema) -> tuple[str, ...]:
    return tuple(name for name in schema.names if name in machine.reads)


def _state(machine: Machine, values: dict[str, Any]) -> State:
    arrays = {name: _plain(values[name]) for name in machine.schema.names}
    return State(arrays, machine.schema, machine.reads)


def _plain(value: Any) -> Array:
    """A float32, int32 or truth of it: bytes would wrap around, and half floats round."""
    value = jnp.asarray(value)
    if jnp.issubdtype(value.dtype, jnp.integer):
        return value.astype(jnp.int32)
    return value if value.dtype == jnp.bool_ else value.astype(jnp.float32)


def _entry(machine: Machine, name: str) -> tuple[Helper, int]:
    """The function of that name, once the text's own level has been run."""
    scope = Scope(None, frozenset())
    run_block(machine, machine.program.tree.body, scope)
    helper = scope.names[name]
    if not isinstance(helper, Helper):
        raise refuse(None, f"{name} is no function", f"assign to another name than {name}")
    return helper, helper.node.lineno


def _reward(
    machine: Machine, state: dict[str, Any], action: Any, next_state: dict[str, Any]
) -> tuple[Array, dict[str, Array]]:
    helper, line = _entry(machine, "reward")
    args = [_state(machine, state), _plain(action), _state(machine, next_state)]
    line = _line_of_return(helper.node)
    value = call_helper(machine, helper, args, {}, line)
    components: Any = Components({})
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Components):
        value, components = value
    if not is_number(value):
        reason = f"reward returns {kind_of(value)}"
        advice = "return total, {'name': component}, or the total alone"
        raise refuse(line, reason, advice, "shape")
    if TOTAL in components:
        advice = "leave it out, the total is reported anyway"
        raise refuse(line, f"a component of the name {TOTAL!r}", advice, "shape")
    total = _scalar(value, line, "the total")
    return total, {n: _scalar(x, line, f"component {n!r}") for n, x in components.items()}


def _line_of_return(node: ast.FunctionDef) -> int:
    """The line of a function's last return, which is where a wrong one is most likely."""
    returns = [child.lineno for child in ast.walk(node) if isinstance(child, ast.Return)]
    return max(returns, default=node.lineno)


def _scalar(value: Any, line: int, what: str) -> Array:
    advice = "index it, or reduce it with .sum(), .mean() or jnp.linalg.norm"
    if not is_number(value):
        raise refuse(line, f"{what} is {kind_of(value)}", "make it a number", "shape")
    value = jnp.asarray(as_float(value), jnp.float32)
    if value.shape != ():
        raise refuse(line, f"{what} has shape {value.shape}", advice, "shape")
    return value


def _action(value: Any, action: ActionSchema, line: int) -> Array:
    """What a rule returned as an action of the space, within its bounds."""
    value = jnp.asarray(numeric(value, line, f"return {action.text}"))
    if value.shape != action.shape and value.size == int(np.prod(action.shape)):
        value = value.reshape(action.shape)  # a number for an array of one, or the other way round
    if value.shape != action.shape:
        reason = f"act returns {kind_of(value)}"
        raise refuse(line, reason, f"return {action.text}", "shape")
    if action.num_actions is None:
        low, high = (jnp.asarray(b, jnp.float32) for b in (action.low, action.high))
        return jnp.clip(as_float(value), low.reshape(action.shape), high.reshape(action.shape))
    if jnp.issubdtype(value.dtype, jnp.floating):
        advice = f"return {action.text}, for example with int(...)"
        raise refuse(line, "act returns a fraction", advice, "shape")
    return jnp.clip(value.astype(jnp.int32), 0, action.num_actions - 1)
