"""Searches repeated, and searches compared: what one curve of seven points cannot say.

ActionVLM's figure 6 has one search with screenshots and one without. Here each arm is repeated, and
each iteration's best fitness is shown with an interval over the repeats.
"""

from __future__ import annotations

import dataclasses
import html
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl.run.checkpoint import write_json
from jaxrl.run.folder import over_seeds
from jaxrl.search.archive import Archive
from jaxrl.search.propose import Proposer
from jaxrl.search.report import STYLE, write_report
from jaxrl.search.searching import Result, search, trainer_for
from jaxrl.search.settings import Settings
from jaxrl.search.svg import chart
from jaxrl.search.task import Task
from jaxrl.search.trainer import Trainer
from jaxrl.stats import probability_of_improvement

SEEDS_APART = 1000
"""Seeds between those of two repeats."""

Author = Callable[[Path, int], Proposer]
"""`author(folder, repeat)`: who proposes in one search; `folder` may hold its answers."""


def repeat(
    task: Task,
    author: Author,
    settings: Settings,
    folder: Path,
    repeats: int,
    *,
    trainer: Trainer | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> list[Result]:
    """Runs a search several times, each with seeds of its own; goes on with what is there.

    Args:
        task: what is searched for.
        author: makes the proposer of each repeat.
        settings: of the first repeat.
        folder: where the searches' folders are: itself for one, `repeat-0` and on for several.
        repeats: how many.
        trainer: to be shared; default a new one for all repeats.
        say: told of each step in a line.
    """
    trainer = trainer or trainer_for(task, settings)
    results = []
    for index in range(repeats):
        path = folder if repeats == 1 else folder / f"repeat-{index}"
        path.mkdir(parents=True, exist_ok=True)
        mine = dataclasses.replace(settings, seed=settings.seed + index * SEEDS_APART)
        there = (path / "search.json").exists()
        where: dict[str, Any] = {"resume": path} if there else {"out": path}
        proposer = author(path, index)
        named = say if repeats == 1 else partial(_say_of, say, f"repeat {index}")
        try:
            results.append(search(task, proposer, mine, trainer=trainer, say=named, **where))
        finally:
            proposer.close()
        write_report(Archive(path))
    return results


def _say_of(say: Callable[[str], None], name: str, text: str) -> None:
    say(f"{name}, {text}")


def bests(results: Sequence[Result]) -> np.ndarray:
    """`[repeats, iterations]` the fitness of each iteration's best; NaN where none has one."""
    length = max(len(result.history) for result in results)
    table = np.full((len(results), length), np.nan)
    for row, result in enumerate(results):
        for iteration in result.history:
            if iteration.best is not None:
                table[row, iteration.number] = iteration.candidates[iteration.best].score
    return table


def write_comparison(
    folder: Path, arms: Mapping[str, Sequence[Result]], bars: Sequence[float]
) -> Path:
    """Writes `comparison.json` and `comparison.html`, and gives the latter's path.

    Args:
        folder: where to.
        arms: name to the results of its repeats.
        bars: levels of fitness; of each it is told how many iterations' best are above it.
    """
    tables = {name: bests(results) for name, results in arms.items()}
    finals = {
        name: np.array([r.score for r in results if r.score is not None])
        for name, results in arms.items()
    }
    about: dict[str, Any] = {
        name: {
            "iterations": [_interval(column) for column in tables[name].T],
            "winner": _interval(finals[name]),
            "repeats": len(results),
            "above": {f"{bar:g}": float((tables[name] > bar).sum(1).mean()) for bar in bars},
        }
        for name, results in arms.items()
    }
    if len(arms) == 2 and all(scores.size for scores in finals.values()):
        first, second = finals.values()
        about["probability_of_improvement"] = probability_of_improvement(first, second)
    write_json(folder / "comparison.json", about)
    path = folder / "comparison.html"
    reports = {
        name: [os.path.relpath(r.path / "report.html", folder) for r in results]
        for name, results in arms.items()
    }
    path.write_text(_page(about, tables, reports), encoding="utf-8")
    return path


def _interval(values: np.ndarray) -> dict[str, Any]:
    """Mean, and IQM with its interval, of what is finite; `failed` counts the rest."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return {"mean": None, "iqm": None, "ci95": None, "failed": int(values.size)}
    failed = int(values.size - finite.size)
    return {"mean": float(finite.mean()), **over_seeds(finite), "failed": failed}


def _page(
    about: Mapping[str, Any], tables: Mapping[str, np.ndarray], reports: Mapping[str, list[str]]
) -> str:
    length = max(table.shape[1] for table in tables.values())
    lines = {
        name: np.pad(t.T, ((0, length - t.shape[1]), (0, 0)), constant_values=np.nan)
        for name, t in tables.items()
    }
    rows, links = [], []
    for name in tables:
        arm = about[name]
        cells = [_said(cell) for cell in arm["iterations"]]
        cells += [""] * (length - len(cells)) + [_said(arm["winner"])]
        cells += [f"{count:.2f}" for count in arm["above"].values()]
        inside = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f"<tr><td>{html.escape(name)}</td>{inside}</tr>")
        links += [_link(name, path) for path in reports[name]]
    first = about[next(iter(tables))]
    heads = [f"iteration {i}" for i in range(length)] + ["winner, held out"]
    heads += [f"iterations a search whose best is above {bar}" for bar in first["above"]]
    better = about.get("probability_of_improvement")
    names = [html.escape(name) for name in tables]
    verdict = (
        ""
        if better is None
        else f"<p>Probability that a winner {names[0]} beats one {names[1]}: {better:.2f}</p>"
    )
    title = "best fitness by iteration, range of repeats"
    drawn = chart(title, range(length), lines, "iteration")
    shown = "".join(f"<th>{h}</th>" for h in ("IQM of the best [95 % over repeats]", *heads))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Searches compared</title>'
        f"<style>{STYLE}</style><body><h1>Searches compared</h1>{drawn}"
        f"<table><tr>{shown}</tr>{''.join(rows)}</table>"
        f"{verdict}<ul>{''.join(links)}</ul></body></html>\n"
    )


def _link(name: str, path: str) -> str:
    shown = html.escape(path)
    return f'<li>{html.escape(name)}: <a href="{shown}">{shown}</a></li>'


def _said(cell: Mapping[str, Any]) -> str:
    if cell["iqm"] is None:
        return "–"
    interval = cell["ci95"]
    return f"{cell['iqm']:.0f}" + (
        "" if interval is None else f" [{interval[0]:.0f}, {interval[1]:.0f}]"
    )
