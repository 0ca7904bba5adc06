"""A probe as a picture: frames with truth and answer under each, and readings against the truth."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrl.errors import missing_extra
from jaxrl.rewards.known_states import KnownStates
from jaxrl.rewards.probe_report import ProbeReport, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 7
SHOWN = 21
"""Frames at most; of more states every n-th is shown."""
LETTERS = 150
"""Of an answer, at most."""
GOOD, BAD, DARK = "#2a7f4f", "#b3392f", "#444444"


def draw_probe(report: ProbeReport, states: KnownStates, path: str | Path | None = None) -> Figure:
    """Frames and answers side by side, in the order of the truth, and how they agree.

    Args:
        report: of the probe.
        states: those it asked about.
        path: where to save the picture, by suffix; None only returns it.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # not pyplot: no global state, no display needed
    except ImportError as error:
        raise missing_extra("matplotlib", "plot", "the picture of a probe") from error
    order = np.argsort(states.truth, kind="stable")
    order = order[np.unique(np.linspace(0, len(order) - 1, SHOWN).round().astype(int))]
    rows = -(-len(order) // COLUMNS)
    height, width = states.frames.shape[1:3]
    tall = 1.9 * height / width + 1.15
    figure = Figure(figsize=(2.1 * COLUMNS, tall * rows + 3.9), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=[tall * rows, 3.6])
    upper, lower = halves
    axes = np.atleast_1d(upper.subplots(rows, COLUMNS, squeeze=False).ravel())
    for place in axes:
        place.set_axis_off()
    for place, i in zip(axes, order, strict=False):
        _frame(place, states.frames[i], report.rows[i], states.unit)
    _agreement(lower, report)
    verdict = "passed" if report.passed else "failed"
    figure.suptitle(
        f"{report.client} · {report.prompt} · {report.env}: {verdict}",
        color=GOOD if report.passed else BAD,
    )
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)
    return figure


def _frame(axes: Any, frame: np.ndarray, row: Row, unit: str) -> None:
    """One picture, the truth above it and the answer below."""
    axes.imshow(frame)
    axes.set_axis_on()  # a frame around the picture, which may be as white as the paper
    axes.set(xticks=[], yticks=[])
    axes.set_title(f"true {round(row.truth, 3):g} {unit}", fontsize=8, color=DARK, pad=2)
    said = textwrap.shorten(row.answer, LETTERS, placeholder=" …") or "(nothing)"
    read = "unread" if row.reading is None else f"read {round(row.reading, 3):g}"
    text = "\n".join([*textwrap.wrap(said, 32), f"→ {read}"]).replace("$", r"\$")
    color = BAD if row.reading is None else DARK
    axes.text(
        0.5, -0.04, text, fontsize=6.5, color=color, ha="center", va="top", transform=axes.transAxes
    )


def _agreement(figure: Any, report: ProbeReport) -> None:
    """Readings against the truth, and the numbers beside them."""
    left, right = figure.subplots(1, 2, width_ratios=[1.2, 1])
    read = [row for row in report.rows if row.reading is not None]
    left.scatter([row.truth for row in read], [row.reading for row in read], s=22, color="C0")
    for row in report.rows:
        if row.reading is None:
            left.axvline(row.truth, color=BAD, alpha=0.25, linewidth=1)
    if report.agreement.mean_absolute_error is not None:
        ends = [min(row.truth for row in report.rows), max(row.truth for row in report.rows)]
        left.plot(ends, ends, color="0.6", linewidth=1, zorder=0)
    left.set_xlabel(f"{report.truth.removeprefix('-')} [{report.unit}]")
    left.set_ylabel("read from the answer")
    left.grid(alpha=0.3)
    left.spines[["top", "right"]].set_visible(False)
    right.set_axis_off()
    text = "\n".join(textwrap.fill(line, 70, subsequent_indent="   ") for line in lines(report))
    right.text(0, 1, text.replace("$", r"\$"), va="top", fontsize=9, family="monospace")


def lines(report: ProbeReport) -> list[str]:
    """The report in lines of text: numbers, thresholds, verdict."""
    numbers, limits = report.agreement, report.thresholds

    def said(name: str, need: str = "") -> str:
        value = getattr(numbers, name)
        shown = f"none: {numbers.missing[name]}" if value is None else f"{value:.3f}{need}"
        return f"{name.replace('_', ' '):<20} {shown}"

    return [
        said("spearman", f"   (needed {limits.spearman:g})"),
        said("pearson"),
        said("sign_accuracy", f"   (needed {limits.sign_accuracy:g})"),
        said("mean_absolute_error", f" {report.unit}"),
        said("epic"),
        f"{'unparsed answers':<20} {report.unparsed:.0%}   (at most {limits.unparsed:.0%})",
        f"{'commonest answer':<20} {report.monotony.share:.0%}   (at most {limits.commonest:.0%})",
        f"{'entropy of answers':<20} {report.monotony.entropy:.2f} bits",
        "passed" if report.passed else "failed:",
        *(f"- {failure}" for failure in report.failures),
    ]
