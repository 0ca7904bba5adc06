"""What to do until the model is asked again: actions one after another, or a rule.

A rule is a program in the closed language of reward programs (`jaxrl.rewards.program`), with
`def act(state)`: it is interpreted into JAX operations and never run as Python. Every plan says for
how many steps it holds; one without an end is refused.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxrl.agents.actions import Actions
from jaxrl.agents.answers import aloud, json_objects, read_answer
from jaxrl.errors import JaxrlError

CompileRule = Callable[[str], Any]
"""`source -> rule`, a `jaxrl.rewards.program.Rule`; raises ProgramError."""


@dataclasses.dataclass
class Plan:
    """Actions to take, the next one first, or a rule and for how many steps it holds."""

    actions: list[Any] = dataclasses.field(default_factory=list)
    rule: Any = None
    steps: int = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left of it."""
        return not self.actions and self.steps <= 0

    def take(self) -> Any:
        """The next action; None where the rule decides. One step less is left."""
        if self.rule is not None:
            self.steps -= 1
            return None
        return self.actions.pop(0)


class PlanError(JaxrlError, ValueError):
    """A plan that cannot be followed; said to the model in these words."""


def plan_schema(actions: Actions) -> dict[str, Any]:
    """JSON schema of a plan: a list of steps or a rule; the one that is not used is empty."""
    action = actions.schema()["properties"]["action"]
    part = {
        "type": "object",
        "properties": {"action": action, "steps": {"type": "integer", "minimum": 1}},
        "required": ["action", "steps"],
        "additionalProperties": False,
    }
    fields = {
        "reasoning": {"type": "string"},
        "plan": {"type": "array", "items": part},
        "rule": {"type": "string"},
        "steps": {"type": "integer", "minimum": 0},
    }
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


def plan_form(actions: Actions, limit: int, units: Mapping[str, Any]) -> str:
    """How to answer with a plan, in words."""
    first: Any = actions.names[0]
    returned = "the number of an action, " + ", ".join(
        f"{i} for '{name}'" for i, name in enumerate(actions.names)
    )
    if not actions.discrete:
        first = {n.name: (n.low + n.high) / 2 for n in actions.numbers}
        returned = f"[{', '.join(actions.names)}]"
    steps = json.dumps(
        {"reasoning": "…", "plan": [{"action": first, "steps": 3}], "rule": "", "steps": 0},
        ensure_ascii=False,
    )
    name = next(iter(units), "quantity")
    rule = json.dumps(
        {
            "reasoning": "…",
            "plan": [],
            "rule": f"def act(state):\n    return 1 if state.{name} > 0 else 0",
            "steps": limit,
        },
        ensure_ascii=False,
    )
    return (
        f"Answer with one JSON object: a plan for the next steps, {limit} at most. Either actions "
        f"one after another, such as {steps}, or a rule that is asked before every step, such as "
        f"{rule}. A rule is a Python function of the quantities in the state; it returns "
        f"{returned}."
    )


def read_plan(text: str, actions: Actions, limit: int, compile_rule: CompileRule) -> Plan:
    """The plan that an answer holds.

    Args:
        text: what the model said.
        actions: those that there are.
        limit: steps that a plan may last.
        compile_rule: makes a rule of its text.

    Raises:
        PlanError: there is none, an action or a quantity that does not exist, a rule that is
            refused, or no end.
    """
    found = [o for o in json_objects(aloud(text)) if "plan" in o or "rule" in o]
    if not found:
        raise PlanError('there is no complete JSON object with a "plan" or a "rule" in it.')
    said = found[-1]
    if said.get("rule"):
        return _rule(said, limit, compile_rule)
    parts = said.get("plan")
    if not isinstance(parts, list) or not parts:
        raise PlanError('both "plan" and "rule" are empty.')
    steps = [action for part in parts for action in _repeated(part, actions, limit)]
    if len(steps) > limit:
        raise PlanError(f"the plan lasts {len(steps)} steps; {limit} at most are planned at once.")
    return Plan(steps)


def _rule(said: Mapping[str, Any], limit: int, compile_rule: CompileRule) -> Plan:
    steps = said.get("steps")
    if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= limit:
        raise PlanError(
            f'the rule never ends: "steps" is {json.dumps(steps)}, needed is how many steps it is '
            f"followed for, from 1 to {limit}."
        )
    if not isinstance(said["rule"], str):
        raise PlanError('"rule" has to be the text of a function.')
    try:
        rule = compile_rule(said["rule"])
    except JaxrlError as error:  # the program's own refusal, with its line
        raise PlanError(f"the rule cannot be followed: {error}") from error
    return Plan(rule=rule, steps=steps)


def _repeated(part: Any, actions: Actions, limit: int) -> Sequence[Any]:
    """One part of a sequence: `{"action": …, "steps": n}`, or an action alone for one step."""
    if not isinstance(part, dict) or "action" not in part:
        part = {"action": part}
    steps = part.get("steps", 1)
    if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= limit:
        raise PlanError(
            f'"steps" is {json.dumps(steps)}, needed is a whole number from 1 to {limit}.'
        )
    reading = read_answer(json.dumps({"action": part["action"]}), actions)
    if reading.action is None:
        raise PlanError(reading.problem)
    return [reading.action] * steps
