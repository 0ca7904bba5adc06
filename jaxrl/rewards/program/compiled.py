"""Programs as objects: compiled from their text, called, stored and compared.

    def reward(state, action, next_state):
        upright = jnp.cos(next_state["pole_angle"])
        effort = -0.01 * abs(state.cart_velocity)
        return upright + effort, {"upright": upright, "effort": effort}

`compile_program` takes such a text and a schema and gives a `RewardProgram`, a pure function of one
step. The text is never executed: its syntax tree is walked, and each node becomes an operation of
JAX.
"""

from __future__ import annotations

import ast
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from jaxrl.errors import JaxrlError
from jaxrl.rewards.program.canonical import program_id
from jaxrl.rewards.program.check import Checked, check
from jaxrl.rewards.program.interpret import evaluate, line_of_trouble, shape_of_reward
from jaxrl.rewards.program.refusal import refuse
from jaxrl.rewards.program.schema import Schema
from jaxrl.types import Array

FORMAT = 1
"""Version of the files that `RewardProgram.save` writes."""

REWARD = ("reward", ("state", "action", "next_state"), "total, {'name': component}")


@dataclasses.dataclass(frozen=True, eq=False)
class RewardProgram:
    """A reward in words of the described quantities, as a pure function.

    Equal programs are those of equal `id`.

    Attributes:
        source: the text.
        schema: the quantities and actions that it is written in.
        id: sixteen hexadecimal digits; comments, layout and spellings of modules leave it as it is.
        components: names of the components, in the order in which they are first returned.
        reads: names of the quantities that it reads.
        parent: the id of the program that it was made from, or None.
        provenance: where it comes from, as plain data: a model, a request, an iteration.
    """

    source: str
    schema: Schema
    id: str
    components: tuple[str, ...]
    reads: tuple[str, ...]
    parent: str | None = None
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    _checked: Checked = dataclasses.field(repr=False, kw_only=True)

    def __call__(
        self, state: dict[str, Any], action: Any, next_state: dict[str, Any]
    ) -> tuple[Array, dict[str, Array]]:
        """The reward of one step.

        Args:
            state, next_state: described quantities before and after the step, of no leading axis;
                `vmap` it for more.
            action: what the environment was given.

        Returns:
            The total, a float32 scalar, and the components, each one too.
        """
        return evaluate(self._checked, self.schema, state, action, next_state, self.components)

    def line_of_trouble(
        self, state: dict[str, Any], action: Any, next_state: dict[str, Any]
    ) -> int | None:
        """The first line whose result is not finite on a step; None if every one is."""
        return line_of_trouble(self._checked, self.schema, state, action, next_state)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RewardProgram) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def to_json(self) -> dict[str, Any]:
        """The program and where it comes from, as plain data."""
        return {
            "format": FORMAT,
            "id": self.id,
            "source": self.source,
            "schema": self.schema.to_json(),
            "components": list(self.components),
            "parent": self.parent,
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RewardProgram:
        """What `to_json` gave, checked and compiled again.

        Raises:
            JaxrlError: a format that is not known, or an id that is not the text's.
            ProgramError: a text that is refused.
        """
        if data.get("format") != FORMAT:
            raise JaxrlError(
                f"a reward program of format {data.get('format')}: this version reads {FORMAT}."
            )
        missing = {"id", "source", "schema", "parent", "provenance"} - set(data)
        if missing:
            raise JaxrlError(
                f"a reward program without {', '.join(sorted(missing))}: save it anew."
            )
        program = compile_program(
            data["source"],
            Schema.from_json(data["schema"]),
            parent=data["parent"],
            provenance=data["provenance"],
        )
        if program.id != data["id"]:
            raise JaxrlError(
                f"the reward program {data['id']} was changed, its text is {program.id}'s: compile "
                "the text as a program of its own."
            )
        return program

    def save(self, path: str | Path) -> Path:
        """Writes the program to a JSON file, and gives its path."""
        path = Path(path)
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: str | Path) -> RewardProgram:
        """Reads what `save` wrote; raises as `from_json`."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:  # not JSON, or no text
            raise JaxrlError(f"{path} is no reward program, it is not JSON ({error}).") from error
        if not isinstance(data, dict):
            raise JaxrlError(f"{path} is no reward program: give a file that `save` wrote.")
        return cls.from_json(data)


def compile_program(
    source: str,
    schema: Schema,
    *,
    parent: str | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> RewardProgram:
    """A reward program of its text.

    Args:
        source: Python with a function `reward(state, action, next_state)`.
        schema: of the environment, see `schema_of`.
        parent: id of the program that it was made from.
        provenance: where it comes from, as plain data.

    Raises:
        ProgramError: its `refusals` say on which line what is not taken, and what to write instead.
    """
    checked = check(source)
    check_entry(checked, *REWARD)
    shape = shape_of_reward(checked, schema)
    return RewardProgram(
        source=source,
        schema=schema,
        id=program_id("reward", checked, world_of(schema)),
        components=shape.components,
        reads=shape.reads,
        parent=parent,
        provenance=dict(provenance or {}),
        _checked=checked,
    )


def zero_state(schema: Schema) -> dict[str, Array]:
    """A state of zeros, to call a program by hand."""
    return {name: jnp.zeros(like.shape, like.dtype) for name, like in schema.like.items()}


def world_of(schema: Schema) -> str:
    """What of a schema changes the meaning of a text: the environment and the order of names."""
    return f"{schema.env}: {' '.join(schema.names)}"


def check_entry(checked: Checked, name: str, args: tuple[str, ...], returned: str) -> None:
    """Raises `ProgramError` unless there is one function of that name and arity."""
    signature = f"def {name}({', '.join(args)})"
    functions = [node for node in checked.tree.body if isinstance(node, ast.FunctionDef)]
    found = [node for node in functions if node.name == name]
    if not found:
        others = ", ".join(node.name for node in functions)
        there = f" (there is {others})" if others else ""
        raise refuse(
            None, f"no function {name}{there}", f"write {signature}: ... return {returned}"
        )
    names = [node.name for node in functions]
    twice = next((node for node in functions if names.count(node.name) > 1), None)
    if twice is not None:
        raise refuse(twice.lineno, f"{twice.name} is defined twice", "keep one of them")
    spec = found[0].args
    count = len(spec.posonlyargs) + len(spec.args) + len(spec.kwonlyargs)
    if count != len(args) or spec.kwonlyargs or spec.defaults:
        raise refuse(found[0].lineno, f"{name} takes {count} arguments", f"write {signature}")
