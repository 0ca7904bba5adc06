"""The prompt of one decision: instructions that never change, and what is to be seen now."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from jaxrl.agents.examples import IMAGE_HEAD, STATE_HEAD, Example
from jaxrl.agents.plans import plan_form, plan_schema
from jaxrl.agents.settings import AgentConfig
from jaxrl.agents.worlds import World
from jaxrl.vlm.messages import Image, Prompt, Turn


@dataclasses.dataclass(frozen=True)
class Deed:
    """A step that was taken, and the quantities before and after it."""

    time: int
    action: str
    before: Mapping[str, float]
    after: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Prospect:
    """What one action would lead to in one step: quantities, reward, and whether it is the end."""

    action: str
    after: Mapping[str, float]
    reward: float
    ends: bool


@dataclasses.dataclass(frozen=True)
class Sight:
    """What an agent sees of one lane at one moment.

    Attributes:
        time: steps since the episode began.
        quantities: described quantities; empty where the environment describes none.
        images: pictures to show, and what each is, in order.
        deeds: the last steps, oldest first.
        prospects: one for each action that was tried, or empty.
    """

    time: int
    quantities: Mapping[str, float]
    images: Sequence[tuple[str, Image]] = ()
    deeds: Sequence[Deed] = ()
    prospects: Sequence[Prospect] = ()


class Prompter:
    """Writes prompts for one environment with one set of settings.

    Attributes:
        units: quantity to `(unit, meaning)`.
        key_quantities: those that deeds and prospects are told in, in order.
        system: instructions, the same in every prompt.
        schema: of an answer in JSON, or None.
        examples: worked examples, shown first.
    """

    def __init__(
        self,
        world: World,
        config: AgentConfig,
        units: Mapping[str, tuple[str, str]],
        examples: Sequence[Example] = (),
    ) -> None:
        """`config` has its defaults filled in (see `check_settings`)."""
        self.world, self.config, self.units = world, config, dict(units)
        self.key_quantities = world.needs or tuple(units)
        self.system = self._system()
        self.schema = None
        if config.cadence == "plan":
            self.schema = plan_schema(world.actions)
        elif config.answer == "json":
            self.schema = world.actions.schema()
        self.examples = tuple(examples)

    def prompt(self, sight: Sight) -> Prompt:
        """What a model is asked in this moment."""
        images = tuple(image for _, image in sight.images)
        shown = [turn for example in self.examples for turn in (example.user, example.assistant)]
        turn = Turn("user", self.text(sight), images)
        return Prompt((*shown, turn), self.system, self.schema)

    def repair(self, prompt: Prompt, said: str, problem: str) -> Prompt:
        """The same question again, with the answer that was none and what was wrong with it."""
        again = f"That answer cannot be used: {problem} {self._form()}"
        turns = (*prompt.turns, Turn("assistant", said or "(nothing)"), Turn("user", again))
        return dataclasses.replace(prompt, turns=turns)

    def text(self, sight: Sight) -> str:
        """The part that changes: state, facts, past, prospects, and what the images are."""
        config, parts = self.config, []
        if "state" in config.shown:
            lines = [self._line(name, value) for name, value in self._told(sight)]
            parts.append(f"{STATE_HEAD} {sight.time} steps:\n" + "\n".join(lines))
        if "facts" in config.aids and self.world.facts is not None:
            facts = self.world.facts(sight.quantities)
            parts.append("What follows from it:\n" + "\n".join(f"- {fact}" for fact in facts))
        if "history" in config.aids and sight.deeds:
            lines = [self._deed(deed) for deed in sight.deeds]
            parts.append("The last steps and what they changed:\n" + "\n".join(lines))
        if sight.prospects:
            parts.append(self._table(sight))
        if sight.images:
            names = [f"{IMAGE_HEAD}{i}: {what}." for i, (what, _) in enumerate(sight.images, 1)]
            parts.append("\n".join(names))
        parts.append("What do you do?")
        return "\n\n".join(parts)

    def _system(self) -> str:
        config, parts = self.config, []
        if "goal" in config.shown:
            parts.append(self.world.goal)
        if "actions" in config.shown:
            what = "Your actions" if self.world.actions.discrete else "Each action is made of"
            parts.append(f"{what}:\n" + "\n".join(self.world.actions.lines()))
        if config.held not in (None, 1):
            parts.append(f"What you choose is done for {config.held} steps.")
        return "\n\n".join([*parts, self._form()])

    def _form(self) -> str:
        """How to answer."""
        actions = self.world.actions
        if self.config.cadence == "plan":
            return plan_form(actions, self.config.plan_limit, self.units)
        if self.config.answer == "quoted":
            names = ", ".join(f"'{name}'" for name in actions.names)
            return (
                "Think about it first if you like. Then end your answer with exactly one of these "
                f"actions, in single quotes: {names}."
            )
        action: Any = actions.names[0]
        if not actions.discrete:
            action = {n.name: round((n.low + n.high) / 2, 3) for n in actions.numbers}
        example = json.dumps({"reasoning": "…", "action": action}, ensure_ascii=False)
        return f"Answer with one JSON object, such as {example}"

    def _told(self, sight: Sight) -> list[tuple[str, float]]:
        return [(name, sight.quantities[name]) for name in self.units if name in sight.quantities]

    def _line(self, name: str, value: float) -> str:
        unit, meaning = self.units[name]
        return f"- {name}: {say(value, unit)} ({meaning})"

    def _deed(self, deed: Deed) -> str:
        changes = [
            f"{name} {say(deed.before[name])} → {say(deed.after[name], self.units[name][0])}"
            for name in self.key_quantities
            if name in deed.after and say(deed.before[name]) != say(deed.after[name])
        ]
        return f"- step {deed.time}, {deed.action}: {', '.join(changes) or 'no change'}"

    def _table(self, sight: Sight) -> str:
        """The prospects as a table in Markdown."""
        names = [n for n in self.key_quantities if n in sight.prospects[0].after]
        titles = [f"{n} ({self.units[n][0]})".removesuffix(" (bool)") for n in names]
        head = ["action", *titles, "reward", "the end"]
        rows = [
            [p.action, *(say(p.after[n]) for n in names), f"{p.reward:.4g}", say(p.ends)]
            for p in sight.prospects
        ]
        lines = [head, ["---"] * len(head), *rows]
        table = "\n".join("| " + " | ".join(row) + " |" for row in lines)
        return f"What each action would lead to in one step:\n{table}"


def say(value: Any, unit: str = "") -> str:
    """A quantity as text: four digits and its unit, or yes and no."""
    if unit == "bool" or isinstance(value, bool):
        return "yes" if value else "no"
    number = str(value) if isinstance(value, int) else f"{value:.4g}"
    return f"{number} {unit}" if unit else number
