"""What a probe found, whether it is enough, and the refusal where it is not."""

from __future__ import annotations

import collections
import dataclasses
import json
import warnings
from collections.abc import Sequence
from pathlib import Path

from jaxrl.errors import ConfigError
from jaxrl.rewards.agreement import Agreement, Monotony


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


def failures(
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
