"""A look at a model before it rewards anything: known states, its answers, and how far they agree.

A model that always says "approximately 45 degrees" trains nobody; here it is found out on a
handful of pictures, before the first step. `probe` asks, `require_probe` refuses.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jaxrl.environment import env_name
from jaxrl.errors import ConfigError
from jaxrl.rewards.agreement import Agreement, Monotony, agreement, monotony
from jaxrl.rewards.known_states import KnownStates, known_states
from jaxrl.vlm.asker import Answer
from jaxrl.vlm.messages import Image, Ok, Prompt
from jaxrl.vlm.prompts import Template


class Asks(Protocol):
    """What of an `Asker` is used here."""

    client: Any

    def ask(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """One answer a prompt."""
        ...


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """What answers have to reach. Numbers that cannot be computed for a prompt are not asked for.

    Attributes:
        spearman: least rank correlation. At 0.5 a quarter of the ranks' variance is explained.
        sign_accuracy: least share of right signs; 0.5 is what guessing gives.
        unparsed: greatest share of answers that could not be read.
        commonest: greatest share of one and the same answer.
    """

    spearman: float = 0.5
    sign_accuracy: float = 0.8
    unparsed: float = 0.2
    commonest: float = 0.8


@dataclasses.dataclass(frozen=True)
class Row:
    """One state: its truth, and what became of its answer.

    Attributes:
        truth: in the truth's unit.
        answer: the text, or why there is none.
        answered: whether there is a text.
        reading: what was read, None where nothing could be.
        note: why nothing could be read.
    """

    truth: float
    answer: str
    answered: bool
    reading: float | None
    note: str


@dataclasses.dataclass(frozen=True)
class ProbeReport:
    """What a probe found.

    Attributes:
        env, client, prompt, prompt_digest, parser: what was probed.
        truth, unit: the quantity that readings are compared with, "-" before it where they should
            fall as it grows; and its unit.
        rows: every state.
        agreement: of the answers that could be read.
        unparsed: share of answers that could not be read, those that never came included.
        monotony: of the readings, or of texts where there is none.
        thresholds: what had to be reached.
        failures: what was not; empty where the probe passed.
    """

    env: str
    client: str
    prompt: str
    prompt_digest: str
    parser: str
    truth: str
    unit: str
    rows: tuple[Row, ...]
    agreement: Agreement
    unparsed: float
    monotony: Monotony
    thresholds: Thresholds
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether all thresholds were reached."""
        return not self.failures

    def to_json(self) -> str:
        """Everything but the pictures, as JSON."""
        return json.dumps({"passed": self.passed, **dataclasses.asdict(self)}, indent=2)

    def save(self, path: str | Path) -> Path:
        """Writes `to_json`, and the folder where there is none."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_json() + "\n")
        return path


def probe(
    env: Any,
    params: Any,
    asker: Asks,
    template: Template,
    *,
    truth: str | None = None,
    num_states: int = 21,
    given: Mapping[str, Any] | None = None,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    thresholds: Thresholds | None = None,
) -> tuple[ProbeReport, KnownStates]:
    """Asks about known states, and compares the answers with the truth.

    Args:
        env: the environment; needs `render` and `describe`.
        params: its parameters.
        asker: who is asked.
        template: the prompt; one about a single picture.
        truth: the described quantity that readings should grow with, or "-" and the quantity that
            they should fall with; default what the prompt's file says.
        num_states: how many pictures.
        given: parameters of the prompt, such as its goal.
        size: height and width of the pictures; default the environment's own.
        seed: of the states.
        thresholds: what has to be reached.

    Returns:
        The report, and the states with their pictures.

    Raises:
        ConfigError: no truth is named, or the prompt compares pictures, or what `known_states`
            and the prompt raise.
        UnknownNameError: a quantity that the environment does not describe.
    """
    truth = template.truth if truth is None else truth
    if not truth:
        raise ConfigError(
            f"the prompt {template.name!r} does not say which quantity answers should go along "
            "with: name one of the environment's, such as --truth pole_angle_degrees, or "
            "--truth=-distance_to_pad where they should fall with it."
        )
    if template.images != 1:
        raise ConfigError(
            f"the prompt {template.name!r} takes {template.images} pictures; a probe shows one "
            "at a time: choose a prompt about one."
        )
    template.check(env.quantities if hasattr(env, "quantities") else ())
    states = known_states(
        env,
        params,
        truth.removeprefix("-"),
        count=num_states,
        within=_asked_range(template.reader),
        size=size,
        seed=seed,
    )
    rows = _ask(asker, template, states, dict(given or {}))
    report = _report(env_name(env), asker, template, truth, states, rows, thresholds)
    return report, states


def _asked_range(reader: Any) -> tuple[float, float] | None:
    """The range that a parser of numbers rewards, or reads; inside its ends."""
    if not hasattr(reader, "low"):
        return None
    if points := getattr(reader, "reward", ()):
        return points[0][0], points[-1][0]
    margin = 0.05 * (reader.high - reader.low)
    return reader.low + margin, reader.high - margin


def _ask(
    asker: Asks, template: Template, states: KnownStates, given: dict[str, Any]
) -> tuple[Row, ...]:
    prompts = [
        template.prompt(
            Image.from_array(frame),
            **{name: states.quantities[name][i].item() for name in template.needs},
            **given,
        )
        for i, frame in enumerate(states.frames)
    ]
    rows = []
    for true, prompt, answer in zip(states.truth, prompts, asker.ask(prompts), strict=True):
        outcome = answer.outcome
        if not isinstance(outcome, Ok):
            why = f"{type(outcome).__name__}: {getattr(outcome, 'reason', 'no answer in time')}"
            rows.append(Row(float(true), why, False, None, why))
            continue
        parsed = template.read(outcome.text, prompt.turns[-1].text)
        reading = float(parsed.reading) if parsed.ok else None
        rows.append(Row(float(true), outcome.text, True, reading, parsed.note))
    return tuple(rows)


def _report(
    env: str,
    asker: Asks,
    template: Template,
    truth: str,
    states: KnownStates,
    rows: tuple[Row, ...],
    thresholds: Thresholds | None,
) -> ProbeReport:
    read = [row for row in rows if row.reading is not None]
    reader: Any = template.reader
    numbers = agreement(
        np.array([row.reading for row in read], float),
        np.array([row.truth for row in read]) * (-1 if truth.startswith("-") else 1),
        same_unit=states.unit in getattr(reader, "unit", ()),
        signed=bool(getattr(reader, "sides", {})) and bool((states.truth < 0).any()),
    )
    repeats = monotony([row.answer if row.reading is None else f"{row.reading:g}" for row in rows])
    limits = thresholds or Thresholds()
    unparsed = 1 - len(read) / len(rows)
    return ProbeReport(
        env=env,
        client=asker.client.model,
        prompt=template.name,
        prompt_digest=template.digest,
        parser=template.parser,
        truth=truth,
        unit=states.unit,
        rows=rows,
        agreement=numbers,
        unparsed=unparsed,
        monotony=repeats,
        thresholds=limits,
        failures=tuple(_failures(rows, numbers, unparsed, repeats, limits)),
    )


def _failures(
    rows: Sequence[Row],
    numbers: Agreement,
    unparsed: float,
    repeats: Monotony,
    limits: Thresholds,
) -> list[str]:
    """What is below its threshold, in words."""
    found = []
    if unparsed > limits.unparsed:
        notes = collections.Counter(row.note for row in rows if row.reading is None)
        why, times = notes.most_common(1)[0]
        found.append(
            f"{unparsed:.0%} of the answers could not be read, at most {limits.unparsed:.0%} may; "
            f"{times} times: {why}"
        )
    if repeats.share > limits.commonest:
        found.append(
            f"{repeats.share:.0%} of the answers are the same, at most {limits.commonest:.0%} "
            f"may: {repeats.commonest!r}"
        )
    if numbers.spearman is None:
        found.append(f"no correlation: {numbers.missing['spearman']}")
    elif numbers.spearman < limits.spearman:
        found.append(f"Spearman {numbers.spearman:.2f}, needed is {limits.spearman:g}")
    if numbers.sign_accuracy is not None and numbers.sign_accuracy < limits.sign_accuracy:
        found.append(
            f"{numbers.sign_accuracy:.0%} of the signs are right, needed are "
            f"{limits.sign_accuracy:.0%}"
        )
    return found


def require_probe(report: ProbeReport, *, force: bool = False) -> ProbeReport:
    """Lets a report pass whose thresholds were reached; training calls it before its first step.

    Args:
        report: of the client and the prompt that are to be trained from.
        force: let any pass, with a warning that says what is wrong.

    Raises:
        ConfigError: a threshold was not reached, and nothing forces it.
    """
    if report.passed:
        return report
    said = (
        f"{report.client} with the prompt {report.prompt!r} failed the probe on {report.env}: "
        f"{'; '.join(report.failures)}."
    )
    if not force:
        raise ConfigError(
            f"{said} Try another prompt or model with `jaxrl probe-vlm`, or force it with --force."
        )
    warnings.warn(f"{said} Forced.", stacklevel=2)
    return report
