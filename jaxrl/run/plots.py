"""Learning curves: evaluation return against environment steps, one colour a run.

With ten seeds or more, the line is the interquartile mean and the band its 95 % bootstrap
interval; with fewer, every seed is a thin line and their mean a thick one, because an interval of
a handful would promise more than it knows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxrl.errors import ConfigError, missing_extra
from jaxrl.records import LogPoint, TrainResult
from jaxrl.run.folder import RunRecord, read_run
from jaxrl.stats import iqm, stratified_bootstrap_ci

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BAND_FROM = 10
"""Seeds from which on a band is drawn instead of lines."""


class Curve(NamedTuple):
    """What is drawn of one run: steps `[P]`, values `[P, S]`, and what they are."""

    label: str
    title: str
    quantity: str
    steps: np.ndarray
    values: np.ndarray


def plot(*runs: TrainResult | RunRecord | str | Path, path: str | Path | None = None) -> Figure:
    """Draws the learning curves of one or several runs into one figure.

    Args:
        *runs: results of `train`, or run folders.
        path: where to save it, by suffix; None only returns it (a notebook shows it).

    Returns:
        The matplotlib figure.

    Raises:
        ConfigError: no run, or one without a single point to draw.
        MissingExtraError: matplotlib is not installed.
        RunFolderError: a path that is not a run folder.
    """
    if not runs:
        raise ConfigError("nothing to plot: give at least one result or run folder.")
    try:
        from matplotlib.figure import Figure  # not pyplot: no global state, no display needed
    except ImportError as error:
        raise missing_extra("matplotlib", "plot", "plotting") from error
    curves = [_curve(run) for run in runs]
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for i, curve in enumerate(curves):
        _draw(axes, curve, f"C{i}", alone=len(curves) == 1)
    axes.set_xlabel("environment steps per seed")
    axes.set_ylabel(" / ".join(dict.fromkeys(curve.quantity for curve in curves)))
    axes.set_title(" · ".join(dict.fromkeys(curve.title for curve in curves)))
    axes.xaxis.set_major_formatter(lambda x, _: _short(x))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _draw(axes: Any, curve: Curve, color: str, *, alone: bool) -> None:
    seeds = curve.values.shape[1]
    name = "" if alone else f"{curve.label}: "
    if seeds >= BAND_FROM:
        rng = np.random.default_rng(0)
        middle = [iqm(row) for row in curve.values]
        band = [stratified_bootstrap_ci(row, rng=rng, reps=500) for row in curve.values]
        low, high = np.transpose(band)
        axes.fill_between(curve.steps, low, high, color=color, alpha=0.25, linewidth=0)
        axes.plot(
            curve.steps, middle, color=color, label=f"{name}IQM of {seeds} seeds, 95 % interval"
        )
        return
    if seeds > 1:
        axes.plot(curve.steps, curve.values, color=color, alpha=0.35, linewidth=1)
    text = f"mean of {seeds} seeds" if seeds > 1 else "one seed"
    axes.plot(curve.steps, curve.values.mean(axis=1), color=color, linewidth=2, label=name + text)


def _curve(run: TrainResult | RunRecord | str | Path) -> Curve:
    """What to draw of a run: evaluations, or where there were none, training episodes."""
    if isinstance(run, (str, Path)):
        run = read_run(run)
    if isinstance(run, TrainResult):
        env, algorithm, history = run.info.env_name, run.info.algorithm.name, run.history
        greedy = run.info.settings.get("eval_greedy", True)
        label = algorithm
    else:
        env, algorithm, history = run.config["env"], run.config["algorithm"], run.history
        greedy = run.config["settings"].get("eval_greedy", True)
        label = f"{algorithm} ({run.path.name})"
    kind = "greedy" if greedy else "sampled"
    for metric, quantity in (
        ("eval/return", f"evaluation return ({kind} policy)"),
        ("episode/return", "return of training episodes"),
    ):
        steps, values = _points(history, metric)
        if steps.size:
            return Curve(label, f"{env}, {algorithm}", quantity, steps, values)
    raise ConfigError(f"the run of {algorithm} on {env} has no finished episode to draw yet.")


def _points(history: list[LogPoint], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of the points at which every seed has a number."""
    rows = [(p.step, p.metrics[metric]) for p in history if np.isfinite(p.metrics[metric]).all()]
    steps = np.array([step for step, _ in rows])
    return steps, np.array([values for _, values in rows])


def _short(x: float) -> str:
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(x) >= size:
            return f"{x / size:g}{suffix}"
    return f"{x:g}"
