"""One decision for many lanes: ask, read, ask once more where that failed, fall back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxrl.agents.answers import read_answer
from jaxrl.agents.plans import CompileRule, Plan, PlanError, read_plan
from jaxrl.agents.prompting import Prompter, Sight
from jaxrl.errors import ModelError
from jaxrl.vlm.asker import Answer, Asker
from jaxrl.vlm.messages import Ok, OverBudget, Prompt, Refused, TimedOut, TransportError, Usage
from jaxrl.vlm.prices import Price

SILENT = 3
"""Decisions in a row, of all lanes, that nobody answers before an agent gives up: what it played
from there on would be its fallback's, and not the model's."""


@dataclasses.dataclass
class Decision:
    """What was asked, said and done about it, in one lane at one moment.

    Attributes:
        lane: number of the episode.
        time: steps since it began.
        prompt: what was asked first.
        said: the answers: one, or two where the first had to be mended.
        problem: why the last answer gave no action; "" where it gave one.
        action: what is done in words: an action, a sequence, or the text of a rule.
        fallback: the action is the fallback, because nothing was decided.
        copied: the answer is that of an example, word for word.
        answers: how asking went, one for each time.
        price: the model's, or None where nobody knows it.
    """

    lane: int
    time: int
    prompt: Prompt
    said: list[str]
    problem: str
    action: str
    fallback: bool
    copied: bool
    answers: list[Answer]
    price: Price | None = None

    @property
    def invalid(self) -> bool:
        """Whether the first answer was none."""
        return self.fallback or len(self.said) > 1

    @property
    def unanswered(self) -> bool:
        """Whether nothing was said at last: refused, timed out, lost on the way."""
        return not isinstance(self.answers[-1].outcome, Ok)

    @property
    def seconds(self) -> float:
        """From asking to knowing."""
        return sum(answer.seconds for answer in self.answers)

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens that went in and came out, as the provider counted them."""
        usages = [getattr(a.outcome, "usage", None) for a in self.answers]
        known = [usage for usage in usages if usage is not None]
        return sum(u.input_tokens for u in known), sum(u.output_tokens for u in known)

    @property
    def dollars(self) -> float | None:
        """What its tokens cost, whether they were paid for now or earlier; None if unknown."""
        return None if self.price is None else self.price.of(Usage(*self.tokens))


class Decider:
    """Turns what lanes see into what they do."""

    def __init__(self, prompter: Prompter, asker: Asker, compile_rule: CompileRule) -> None:
        """`compile_rule`: makes a rule of its text, where plans are asked for."""
        self.prompter, self.asker = prompter, asker
        self.config, self.actions = prompter.config, prompter.world.actions
        self._compile_rule = compile_rule
        self._silent = 0
        self._examples = {example.assistant.text for example in prompter.examples}
        world = prompter.world
        if self.config.fallback is not None:
            self.idle: Any = self.actions.index(self.config.fallback)
        elif isinstance(world.idle, str):
            self.idle = self.actions.index(world.idle)
        else:
            self.idle = np.array(world.idle, np.float32)

    def decide(self, sights: Sequence[tuple[int, Sight]]) -> list[tuple[Decision, Plan]]:
        """A plan for each `(lane, sight)`; at most two batches are asked.

        Raises:
            ModelError: nothing more can be asked (a wrong key, a budget that is spent), or nobody
                has answered for long.
        """
        prompts = [self.prompter.prompt(sight) for _, sight in sights]
        answers = self._ask(prompts)
        self._require_some(answers)
        read = [self._read(answer) for answer in answers]
        asked = [[answer] for answer in answers]
        # Only what was said can be mended; a refusal or a failure is not asked again.
        broken = [
            i
            for i, (answer, (_, problem)) in enumerate(zip(answers, read, strict=True))
            if problem and isinstance(answer.outcome, Ok)
        ]
        if self.config.repair and broken:
            again = [
                self.prompter.repair(prompts[i], _said(answers[i]), read[i][1]) for i in broken
            ]
            for i, answer in zip(broken, self._ask(again), strict=True):
                asked[i].append(answer)
                read[i] = self._read(answer)
        return [
            self._decision(lane, sight, prompt, answers, plan, problem)
            for (lane, sight), prompt, answers, (plan, problem) in zip(
                sights, prompts, asked, read, strict=True
            )
        ]

    def _ask(self, prompts: list[Prompt]) -> list[Answer]:
        """Asks for all; what the budget had no room for beside the others, after them."""
        answers: list[Answer | None] = [None] * len(prompts)
        waiting = list(range(len(prompts)))
        while waiting:
            came = self.asker.ask([prompts[i] for i in waiting])
            if self.asker.fatal is not None:
                raise ModelError(f"the model cannot be asked: {self.asker.fatal.reason}")
            over = [a.outcome for a in came if isinstance(a.outcome, OverBudget)]
            if len(over) == len(waiting):
                raise ModelError(
                    f"the budget is spent: {over[0].reason}. Raise it and run again with the same "
                    "store: what has been asked is not asked again."
                )
            for i, answer in zip(waiting, came, strict=True):
                answers[i] = None if isinstance(answer.outcome, OverBudget) else answer
            waiting = [i for i in waiting if answers[i] is None]
        return [answer for answer in answers if answer is not None]

    def _require_some(self, answers: list[Answer]) -> None:
        """Gives up where again and again nothing came from the model."""
        heard = any(isinstance(answer.outcome, (Ok, Refused)) for answer in answers)
        self._silent = 0 if heard else self._silent + 1
        if self._silent >= SILENT:
            self._silent = 0
            raise ModelError(
                f"the model has not answered {SILENT} decisions in a row: {failure(answers[-1])}. "
                "Run again with the same store: what has been answered is not asked again."
            )

    def _read(self, answer: Answer) -> tuple[Plan | None, str]:
        """The plan in an answer, or None and what is wrong."""
        if not isinstance(answer.outcome, Ok):
            return None, failure(answer)
        text, complete = answer.outcome.text, answer.outcome.complete
        if self.config.held is None:
            try:
                limit = self.config.plan_limit
                return read_plan(text, self.actions, limit, self._compile_rule), ""
            except PlanError as error:
                return None, str(error)
        action, problem = read_answer(text, self.actions, complete=complete)
        return (None, problem) if action is None else (Plan([action] * self.config.held), "")

    def _decision(
        self,
        lane: int,
        sight: Sight,
        prompt: Prompt,
        answers: list[Answer],
        plan: Plan | None,
        problem: str,
    ) -> tuple[Decision, Plan]:
        said = [_said(answer) for answer in answers]
        fallback = plan is None
        plan = plan or Plan([self.idle] * (self.config.held or 1))
        decision = Decision(
            lane=lane,
            time=sight.time,
            prompt=prompt,
            said=said,
            problem=problem,
            action=self._in_words(plan),
            fallback=fallback,
            copied=bool(self._examples) and said[-1].strip() in self._examples,
            answers=answers,
            price=self.asker.price,
        )
        return decision, plan

    def _in_words(self, plan: Plan) -> str:
        if plan.rule is not None:
            return f"a rule for {plan.steps} steps:\n{plan.rule.source}"
        names = [self.actions.say(action) for action in plan.actions]
        if len(set(names)) == 1:
            return names[0] + (f" ({len(names)} steps)" if len(names) > 1 else "")
        return ", ".join(names)


def _said(answer: Answer) -> str:
    """What the model said, or why it said nothing."""
    return answer.outcome.text if isinstance(answer.outcome, Ok) else failure(answer)


def failure(answer: Answer) -> str:
    """Why there is no answer, in words."""
    outcome = answer.outcome
    if isinstance(outcome, TimedOut):
        return f"(no answer within {outcome.seconds:g} s)"
    if isinstance(outcome, TransportError):
        return f"(no answer: {outcome.reason})"
    if isinstance(outcome, Refused):
        return f"(refused: {outcome.reason})"
    raise TypeError(f"{outcome!r} is no failure")
