"""A search as one page that loads nothing: programs, what changed in them, curves, films, cost."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl.rewards.program import diff
from jaxrl.run.folder import over_seeds
from jaxrl.search.archive import Archive
from jaxrl.search.records import Candidate, Iteration
from jaxrl.search.svg import chart

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; color: #222;
  padding: 0 1rem }
h1, h2, h3 { line-height: 1.2 } table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .25rem .8rem; border-bottom: 1px solid #ddd; text-align: right }
td:first-child, th:first-child { text-align: left }
pre { background: #f6f6f4; padding: .8rem; overflow-x: auto; font-size: 13px }
pre .add { background: #dcf1df } pre .cut { background: #f8dede }
.row > div { max-width: 40rem } section .row > div { max-width: 23rem }
svg text { font-size: 10px; fill: #444 } .legend span { margin-right: 1rem; font-size: 13px }
.row { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start }
.best { border-left: 4px solid #2d8a4e; padding-left: 1rem } .refused { color: #a02020 }
details { margin: .5rem 0 } img { border: 1px solid #ddd }
"""


def write_report(archive: Archive) -> Path:
    """Writes `report.html` of a search's folder as it stands, and gives its path."""
    asked, history = archive.read("search.json") or {}, archive.history()
    result = archive.read("result.json") or {}
    parts = [
        f"<h1>Reward search: {html.escape(asked['env'])}</h1>",
        f"<p>{html.escape(asked['goal'])}</p>",
        _summary(asked, history, result, archive.read("preflight.json")),
        _table(history),
        *(_iteration(archive, iteration, history) for iteration in history),
    ]
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>Reward search: {html.escape(asked['env'])}</title><style>{STYLE}</style>"
        f"<body>{''.join(parts)}</body></html>\n"
    )
    path = archive.path / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _summary(
    asked: dict[str, Any],
    history: Sequence[Iteration],
    result: dict[str, Any],
    preflight: dict[str, Any] | None,
) -> str:
    rows = {
        "author": asked["author"],
        "screenshots": "offered to the author" if asked["screenshots"] else "none",
        "each candidate": f"{asked['seeds']} seeds of {asked['total_steps']:,} steps",
    }
    if preflight is not None:
        rows["the environment's own reward (preflight)"] = _mean(preflight["fitness"])
    if result.get("winner"):
        iteration, candidate = result["winner"]
        rows["winner"] = f"iteration {iteration}, candidate {candidate}"
        rows["its fitness on held-out rollouts"] = _mean(result["held_out"])
    if result.get("stopped"):
        rows["stopped"] = result["stopped"]
    rows |= {f"cost: {k}": f"{v:,}" for k, v in result.get("cost", {}).items() if v is not None}
    for name, seconds in result.get("seconds", {}).items():
        what = "its iterations from end to end" if name == "all" else name
        rows[f"seconds: {what}"] = f"{seconds:.1f}"
    cells = (
        f"<tr><td>{html.escape(k)}</td><td>{html.escape(v)}</td></tr>" for k, v in rows.items()
    )
    best = np.array([np.nan if i.best is None else i.candidates[i.best].score for i in history])
    curve = chart("best fitness of each iteration", range(len(best)), {"best": best}, "iteration")
    return f'<div class="row"><table>{"".join(cells)}</table><div>{curve}</div></div>'


def _mean(values: Sequence[float]) -> str:
    interval = over_seeds(np.array(values))["ci95"]
    shown = f"{np.mean(values):.1f}"
    return shown if interval is None else f"{shown} [{interval[0]:.1f}, {interval[1]:.1f}]"


def _table(history: Sequence[Iteration]) -> str:
    rows = []
    for iteration in history:
        cells = [_outcome(candidate) for candidate in iteration.candidates] or [iteration.error]
        inside = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        rows.append(
            f'<tr><td><a href="#i{iteration.number}">{iteration.number}</a></td>{inside}</tr>'
        )
    most = max((len(i.candidates) for i in history), default=1)
    heads = "".join(f"<th>candidate {k}</th>" for k in range(most))
    return f"<table><tr><th>fitness of iteration</th>{heads}</tr>{''.join(rows)}</table>"


def _outcome(candidate: Candidate) -> str:
    if candidate.refusals:
        return "refused"
    return "diverged" if candidate.score is None else f"{candidate.score:.1f}"


def _iteration(archive: Archive, iteration: Iteration, history: Sequence[Iteration]) -> str:
    shots = "".join(_picture(image.png, "png") for image in archive.shots(iteration))
    parts = [
        _candidate(archive, iteration, index, history) for index in range(len(iteration.candidates))
    ]
    error = f'<p class="refused">{html.escape(iteration.error)}</p>' if iteration.error else ""
    strip = (
        f"<p>The best one's rollout at 0, 25, 50, 75 and 100 %:</p><p>{shots}</p>" if shots else ""
    )
    head = f'<h2 id="i{iteration.number}">Iteration {iteration.number}</h2>'
    return head + error + "".join(parts) + strip


def _candidate(
    archive: Archive, iteration: Iteration, index: int, history: Sequence[Iteration]
) -> str:
    candidate = iteration.candidates[index]
    fitness = _mean(candidate.fitness) if candidate.fitness else _outcome(candidate)
    head = f"<h3>Candidate {index}: {html.escape(fitness)}</h3>"
    parts = [head]
    if candidate.refusals:
        parts.append(f'<pre class="refused">{html.escape(candidate.refusals)}</pre>')
    drawn = []
    curves = candidate.curves
    if curves is not None:
        drawn.append(chart("fitness", curves.steps, {"fitness": curves.fitness}))
        drawn.append(chart("generated reward", curves.steps, {"return": curves.generated}))
        drawn.append(chart("components, mean a step", curves.steps, dict(curves.components)))
    film = archive.film(iteration.number, index)
    if film.exists():
        drawn.append(_picture(film.read_bytes(), "gif"))
    parts.append(f'<div class="row">{"".join(f"<div>{d}</div>" for d in drawn)}</div>')
    parts.append(_program(candidate, _parent(candidate, history)))
    if candidate.proposal.note:
        note = html.escape(candidate.proposal.note)
        parts.append(f"<details><summary>what its author said</summary><pre>{note}</pre></details>")
    kind = ' class="best"' if index == iteration.best else ""
    return f"<section{kind}>{''.join(parts)}</section>"


def _parent(candidate: Candidate, history: Sequence[Iteration]) -> Candidate | None:
    every = (c for iteration in history for c in iteration.candidates)
    wanted = candidate.proposal.parent
    return next((c for c in every if wanted is not None and c.program == wanted), None)


def _program(candidate: Candidate, parent: Candidate | None) -> str:
    text = f"<pre>{html.escape(candidate.proposal.source)}</pre>"
    if parent is None:
        return text
    lines = []
    for line in diff(parent.proposal.source, candidate.proposal.source).splitlines():
        kind = {"+": "add", "-": "cut"}.get(line[:1], "")
        lines.append(f'<span class="{kind}">{html.escape(line)}</span>')
    return (
        f"<pre>{chr(10).join(lines)}</pre>"
        f"<details><summary>the whole program</summary>{text}</details>"
    )


def _picture(data: bytes, kind: str) -> str:
    return f'<img alt="a rollout" src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'
