"""Learning curves: evaluation return against environment steps, one colour a run.

With ten seeds or more, the line is the interquartile mean and the band its 95 % bootstrap
interval; with fewer, every seed is a thin line and their mean a thick one, because an interval of
a handful would promise more than it knows. The combinations of a sweep are curves of their own.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxrl.errors import ConfigError, missing_extra
from jaxrl.records import LogPoint, TrainResult
from jaxrl.run.folder import RunRecord, read_run
from jaxrl.run.notebook import display_image, in_notebook
from jaxrl.stats import iqm, stratified_bootstrap_ci

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BAND_FROM = 10
"""Seeds from which on a band is drawn instead of lines."""


REWARDS = {
    "reward/environment": "the environment's, a step",
    "reward/vlm": "the model's, a judged frame",
}
"""Parts of a mixed reward, which get a panel of their own."""


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
        path: where to save it, by suffix; None only returns it, and shows it in a notebook.

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
    curves = _told_apart([curve for run in runs for curve in _curves(run)])
    parts = [curve for run in runs for curve in _rewards(run)]
    figure = Figure(figsize=(7.0, 6.4 if parts else 4.2), layout="constrained")
    axes = figure.add_subplot(2, 1, 1) if parts else figure.add_subplot()
    for i, curve in enumerate(curves):
        _draw(axes, curve, f"C{i}", alone=len(curves) == 1)
    axes.set_xlabel("environment steps per seed")
    axes.set_ylabel(" / ".join(dict.fromkeys(curve.quantity for curve in curves)))
    axes.set_title(" · ".join(dict.fromkeys(curve.title for curve in curves)))
    _dress(axes)
    if parts:
        _draw_rewards(figure.add_subplot(2, 1, 2, sharex=axes), parts)
    if path is not None:
        figure.savefig(path, dpi=150)
    elif in_notebook():
        # Without pyplot, a notebook would print the figure's address.
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=100)
        display_image(png.getvalue())
    return figure


def _dress(axes: Any) -> None:
    axes.xaxis.set_major_formatter(lambda x, _: _short(x))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def _draw_rewards(axes: Any, curves: list[Curve]) -> None:
    """Both parts of a mixed reward, each with its own scale: they are not to be compared."""
    other = axes.twinx()
    for i, curve in enumerate(curves):
        on = axes if curve.quantity == REWARDS["reward/environment"] else other
        style = "-" if on is axes else "--"
        on.plot(curve.steps, curve.values.mean(axis=1), style, color=f"C{i}", label=curve.label)
    axes.set_xlabel("environment steps per seed")
    axes.set_ylabel(REWARDS["reward/environment"])
    other.set_ylabel(REWARDS["reward/vlm"])
    _dress(axes)
    lines = [*axes.get_lines(), *other.get_lines()]
    axes.legend(lines, [line.get_label() for line in lines], frameon=False)


def _draw(axes: Any, curve: Curve, color: str, *, alone: bool) -> None:
    seeds = curve.values.shape[1]
    name = "" if alone else f"{curve.label}: "
    marker = "o" if len(curve.steps) == 1 else None  # a line of one point cannot be seen
    if seeds >= BAND_FROM:
        rng = np.random.default_rng(0)
        middle = [iqm(row) for row in curve.values]
        band = [stratified_bootstrap_ci(row, rng=rng, reps=500) for row in curve.values]
        low, high = np.transpose(band)
        axes.fill_between(curve.steps, low, high, color=color, alpha=0.25, linewidth=0)
        label = f"{name}IQM of {seeds} seeds, 95 % interval"
        axes.plot(curve.steps, middle, color=color, label=label, marker=marker)
        if marker:
            axes.vlines(curve.steps, low, high, color=color, alpha=0.5)
        return
    if seeds > 1:
        thin = {"color": color, "alpha": 0.35, "linewidth": 1, "marker": marker}
        axes.plot(curve.steps, curve.values, **thin)
    text = f"mean of {seeds} seeds" if seeds > 1 else "one seed"
    mean = curve.values.mean(axis=1)
    axes.plot(curve.steps, mean, color=color, linewidth=2, label=name + text, marker=marker)


def _told_apart(curves: list[Curve]) -> list[Curve]:
    """Numbers the labels that several curves have."""
    labels = [curve.label for curve in curves]
    return [
        curve._replace(label=f"{curve.label} #{labels[: i + 1].count(curve.label)}")
        if labels.count(curve.label) > 1
        else curve
        for i, curve in enumerate(curves)
    ]


def _curves(run: TrainResult | RunRecord | str | Path) -> list[Curve]:
    """What to draw of a run: evaluations, or where there were none, training episodes."""
    if isinstance(run, (str, Path)):
        run = read_run(run)
    if isinstance(run, TrainResult):
        env, algorithm, history = run.info.env_name, run.info.algorithm.name, run.history
        greedy = run.info.settings.get("eval_greedy", True)
        label, lanes = algorithm, list(run.info.labels)
    else:
        env, algorithm, history = run.config["env"], run.config["algorithm"], run.history
        greedy = run.config["settings"].get("eval_greedy", True)
        label, lanes = f"{algorithm} ({run.path.name})", run.config["labels"]
    kind = "greedy" if greedy else "sampled"
    for metric, quantity in (
        ("eval/return", f"evaluation return ({kind} policy)"),
        ("episode/return", "return of training episodes"),
    ):
        steps, values = _points(history, metric)
        if steps.size:
            whole = Curve(label, f"{env}, {algorithm}", quantity, steps, values)
            return _by_combination(whole, lanes) if lanes else [whole]
    raise ConfigError(f"the run of {algorithm} on {env} has no finished episode to draw yet.")


def _rewards(run: TrainResult | RunRecord | str | Path) -> list[Curve]:
    """The parts of a run's mixed reward before mixing; none where its reward is not mixed."""
    if isinstance(run, (str, Path)):
        run = read_run(run)
    if not all(name in point.metrics for point in run.history[:1] for name in REWARDS):
        return []
    curves = []
    for metric, quantity in REWARDS.items():
        steps, values = _points(run.history, metric)
        if steps.size:
            curves.append(Curve(metric, "", quantity, steps, values))
    return curves


def _by_combination(curve: Curve, lanes: list[dict[str, Any]]) -> list[Curve]:
    """The lanes of a sweep, one curve for each combination of settings over its seeds."""
    names = [", ".join(f"{key}={value}" for key, value in lane.items()) for lane in lanes]
    return [
        curve._replace(label=name, values=curve.values[:, [other == name for other in names]])
        for name in dict.fromkeys(names)
    ]


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
