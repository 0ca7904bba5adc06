"""A look at a model before it rewards anything: known states, its answers, and how far they agree.

A model that always says "approximately 45 degrees" trains nobody; here it is found out on a
handful of pictures, before the first step. `probe` asks; `probe_report.require_probe` refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from jaxrl.environment import env_name
from jaxrl.errors import ConfigError
from jaxrl.rewards.agreement import agreement, monotony
from jaxrl.rewards.known_states import KnownStates, known_states
from jaxrl.rewards.probe_report import ProbeReport, Row, Thresholds, failures
from jaxrl.vlm.asker import Answer
from jaxrl.vlm.messages import Image, Ok, Prompt
from jaxrl.vlm.prompts import Template


class Asks(Protocol):
    """What of an `Asker` is used here."""

    client: Any

    def ask(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """One answer a prompt."""
        ...


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
    _check(template, truth)
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


def _check(template: Template, truth: str) -> None:
    """Raises `ConfigError` for a prompt that cannot be probed."""
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
        failures=tuple(failures(rows, numbers, unparsed, repeats, limits)),
    )
