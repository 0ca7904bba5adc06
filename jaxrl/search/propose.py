"""Authors of programs: a model, an archive, or the grammar.

A proposer is asked once an iteration for all of its candidates. It is shown the history and keeps
nothing itself: whoever resumes a search asks it the same, and a model's answer is in the store.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from jaxrl.errors import ConfigError, ModelError, missing_extra
from jaxrl.search.grammar import Grammar
from jaxrl.search.records import Iteration, Proposal, best_of
from jaxrl.search.reflect import reflection
from jaxrl.search.task import Task
from jaxrl.vlm.asker import Asker
from jaxrl.vlm.messages import Image, Ok, OverBudget, Prompt, Refused

PROMPTS = Path(__file__).parent / "prompts"
FENCE = re.compile(r"^[ \t]*```[ \t]*\w*[ \t]*\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE)
ARCHIVE = "replay:"


class NoProposal(Exception):
    """An author that has nothing to propose; the text says why.

    Attributes:
        last: it will never have anything again (an archive at its end, a spent budget).
    """

    def __init__(self, why: str, *, last: bool = False) -> None:
        """`why`: for the report, and for the stop-loss that may follow."""
        super().__init__(why)
        self.last = last


class Proposer(Protocol):
    """An author.

    Attributes:
        name: shown in reports, e.g. "openai:gpt-4o".
    """

    name: str

    def propose(
        self, history: Sequence[Iteration], count: int, images: Sequence[Image] = ()
    ) -> list[Proposal]:
        """Up to `count` programs, in view of the iterations so far.

        Args:
            history: all iterations before this one.
            count: `K`.
            images: screenshots of the best program's rollout; none where it is not to see any.

        Raises:
            NoProposal: it has none this time; the next iteration may have some again.
            ModelError: it will never have one (a wrong key, no network).
        """
        ...

    def cost(self) -> dict[str, Any]:
        """What it took so far: calls, tokens, dollars, as far as they are known."""
        ...

    def close(self) -> None:
        """Lets go of what it holds."""
        ...


class ModelProposer:
    """Asks a model, with one prompt for all candidates of an iteration.

    One prompt and not one a candidate: it costs a `K`-th, pictures above all, and a model that
    writes its programs side by side can make them differ.
    """

    def __init__(self, asker: Asker, task: Task, *, sample: int = 0) -> None:
        """`sample`: tells repeats of a search apart, whose first prompts are the same.

        Raises:
            MissingExtraError: jinja2 is not installed.
        """
        self.name, self.asker, self.task, self.sample = asker.client.model, asker, task, sample
        self._system, self._request = _templates("system", "request")

    def prompt(
        self, history: Sequence[Iteration], count: int, images: Sequence[Image] = ()
    ) -> Prompt:
        """What the model is asked."""
        text = self._request.render(
            env=self.task.name,
            goal=self.task.goal,
            schema=self.task.schema.text,
            feedback=reflection(history),
            images=len(images),
            count=count,
        )
        system = self._system.render()
        # A search that goes on after an answer without a program asks the same again, as another.
        sample = self.sample * 1000 + len(history)
        return Prompt.of(text.strip(), *images, system=system.strip(), sample=sample)

    def propose(
        self, history: Sequence[Iteration], count: int, images: Sequence[Image] = ()
    ) -> list[Proposal]:
        """See `Proposer.propose`."""
        answer = self.asker.ask([self.prompt(history, count, images)])[0].outcome
        if isinstance(answer, (Refused, OverBudget)):
            why = f"{self.name}: {type(answer).__name__}, {answer.reason}"
            raise NoProposal(why, last=isinstance(answer, OverBudget))
        if not isinstance(answer, Ok):
            why = getattr(answer, "reason", "no answer within the time")
            raise ModelError(
                f"{self.name} gave no answer: {why}. Nothing that is done is lost: go on with "
                "--resume once it answers."
            )
        found = best_of(list(history))
        parent = history[found[0]].candidates[found[1]].program if found else None
        programs = fenced(answer.text)
        if not programs:
            raise NoProposal(f"the answer of {self.name} has no program in a fenced block")
        note = FENCE.sub("", answer.text).strip()
        return [Proposal(text, parent, note) for text in programs[:count]]

    def cost(self) -> dict[str, Any]:
        """Calls, tokens and dollars of this process, as the asker counted them."""
        counts = self.asker.counts
        names = ("calls", "cached", "input_tokens", "output_tokens", "dollars")
        return {name: getattr(counts, name) for name in names}

    def close(self) -> None:
        """Closes the asker."""
        self.asker.close()


class ArchiveProposer:
    """Proposes programs that are there already: of an earlier search, or of a folder's files."""

    def __init__(self, path: str | Path) -> None:
        """Reads them.

        Args:
            path: a search's folder, whose programs are proposed iteration by iteration; or a
                folder of `.py` texts and `.json` programs, proposed in order of their names.

        Raises:
            ConfigError: no programs there.
        """
        self.name, self.path = f"{ARCHIVE}{path}", Path(path)
        files = sorted(self.path.glob("iteration-*.json"))
        if files:
            read = [Iteration.from_json(json.loads(f.read_text(encoding="utf-8"))) for f in files]
            self.rounds: list[list[Proposal]] | None = [
                [c.proposal for c in i.candidates] for i in read
            ]
            self.programs = [p for group in self.rounds for p in group]
        else:
            self.rounds = None
            texts = sorted(p for p in self.path.glob("*") if p.suffix in (".py", ".json"))
            self.programs = [Proposal(_text_of(p), note=p.name) for p in texts]
        if not self.programs:
            raise ConfigError(
                f"{path} holds no programs: give the folder of a search, or one with .py files, "
                "each with a function reward(state, action, next_state)."
            )

    def propose(
        self, history: Sequence[Iteration], count: int, images: Sequence[Image] = ()
    ) -> list[Proposal]:
        """See `Proposer.propose`."""
        del images
        at = len(history)
        if self.rounds is not None:
            group = self.rounds[at] if at < len(self.rounds) else []
        else:
            group = self.programs[at * count : (at + 1) * count]
        if not group:
            raise NoProposal(f"{self.path} has no more programs", last=True)
        return group[:count]

    def cost(self) -> dict[str, Any]:
        """It is free."""
        return {}

    def close(self) -> None:
        """Has nothing to let go of."""


def open_proposer(
    spec: str, task: Task, *, seed: int = 0, sample: int = 0, **asking: Any
) -> Proposer:
    """A proposer by what a user types.

    Args:
        spec: "grammar", "replay:FOLDER", or a client as `jaxrl.vlm.specs.client` has it.
        task: what is searched for.
        seed: of the grammar.
        sample: see `ModelProposer`.
        **asking: of a model: `store`, `budget`, `timeout` of its asker, `max_tokens` and
            `temperature` of its sampling.

    Raises:
        ConfigError, UnknownNameError, MissingExtraError: it cannot be had, and why.
    """
    if spec == "grammar":
        return Grammar(task.schema, seed, task.steps)
    if spec.startswith(ARCHIVE):
        path = Path(spec.removeprefix(ARCHIVE))
        if path.is_dir():
            return ArchiveProposer(path)
        if not path.exists():
            raise ConfigError(
                f"{spec}: there is nothing at {path}: give the folder of a search, a folder of .py "
                "files, or an answers.sqlite."
            )
    from jaxrl.vlm.specs import client

    sampling = {name: asking.pop(name) for name in ("max_tokens", "temperature") if name in asking}
    return ModelProposer(Asker(client(spec, **sampling), **asking), task, sample=sample)


def fenced(text: str) -> list[str]:
    """The programs of an answer: its fenced blocks that define a function `reward`.

    A block without one is shown nowhere else, so that it counts if there is no other: its author is
    then told what is missing.
    """
    blocks = [match[1].strip("\n") + "\n" for match in FENCE.finditer(text)]
    with_reward = [block for block in blocks if re.search(r"^def reward\b", block, re.MULTILINE)]
    return with_reward or blocks


def _text_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return text
    try:
        return str(json.loads(text)["source"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is no program that was saved: give .py files instead."
        ) from error


def _templates(*names: str) -> tuple[Any, ...]:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise missing_extra("jinja2", "vlm", "asking a model for programs") from error
    environment = Environment(
        loader=FileSystemLoader(PROMPTS),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return tuple(environment.get_template(f"{name}.jinja") for name in names)
