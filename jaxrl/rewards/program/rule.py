"""Rules: a choice of action in the language of reward programs, `def act(state)`."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from jaxrl.rewards.program.canonical import program_id
from jaxrl.rewards.program.check import Checked, check
from jaxrl.rewards.program.compiled import check_entry, world_of
from jaxrl.rewards.program.interpret import read_by
from jaxrl.rewards.program.schema import ActionSchema, Schema
from jaxrl.types import Array

ACT = ("act", ("state",), "action")


@dataclasses.dataclass(frozen=True, eq=False)
class Rule:
    """A choice of action in words of the described quantities, as a pure function.

    Attributes:
        source, id: as a program's.
        schema: the quantities that it is written in.
        action: what it must give.
        reads: names of the quantities that it reads.
    """

    source: str
    schema: Schema
    id: str
    action: ActionSchema
    reads: tuple[str, ...]
    _checked: Checked = dataclasses.field(repr=False, kw_only=True)

    def __call__(self, state: dict[str, Any]) -> Array:
        """The action in a state, of the space's shape and type and within its bounds."""
        return read_by(self._checked, self.schema, self.action, state)[0]


def compile_rule(source: str, schema: Schema, action: ActionSchema | None = None) -> Rule:
    """A rule of its text: the language of reward programs, with `def act(state)`.

    Args:
        source: Python with a function `act(state)` that returns an action.
        schema: of the environment.
        action: what an action is; default the schema's.

    Raises:
        ProgramError: as `compile_program`, also for what is no action.
    """
    action = action or schema.action
    checked = check(source)
    check_entry(checked, *ACT)
    reads: list[str] = []

    def run(state: dict[str, Any]) -> Array:
        value, read = read_by(checked, schema, action, state)
        reads[:] = read
        return value

    jax.eval_shape(run, schema.like)
    identity = program_id("act", checked, world_of(schema))
    return Rule(source, schema, identity, action, tuple(reads), _checked=checked)
