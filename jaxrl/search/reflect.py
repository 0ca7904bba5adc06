"""What an author is shown of what came of its programs: tables, errors, and screenshots.

After Eureka (Ma et al. 2024, arXiv:2310.12931): for the best program so far, the course of the
fitness, of the generated reward and of each component over training; and for programs that were
refused, each line that was and what to write instead.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxrl.search.records import Candidate, Curves, Iteration, best_of

COLUMNS = 10
"""Points of a curve that are shown, the last among them."""
SHOT_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Where in a rollout screenshots are taken, as shares of its length."""


def reflection(history: Sequence[Iteration]) -> str:
    """The text of all that an author needs for the next programs; "" before the first."""
    parts = []
    found = best_of(list(history))
    if found is not None:
        candidate = history[found[0]].candidates[found[1]]
        score = _short(candidate.score)
        parts.append(
            f"The best program so far (iteration {found[0]}), fitness {score}:\n\n"
            f"```python\n{candidate.proposal.source.strip()}\n```\n\n{of_curves(candidate)}"
        )
    if history:
        parts += _of_last(history[-1], found)
    return "\n\n".join(parts)


def _of_last(last: Iteration, found: tuple[int, int] | None) -> list[str]:
    """What became of the last iteration's other programs."""
    parts = []
    for index, candidate in enumerate(last.candidates):
        if found == (last.number, index):
            continue
        head = f"Program {index} of the last iteration"
        program = f"```python\n{candidate.proposal.source.strip()}\n```"
        if candidate.refusals:
            said = f"was refused and not trained:\n{candidate.refusals}\n\n{program}"
        elif candidate.score is None:
            said = (
                f"was trained, and its numbers stopped being finite (NaN or infinite).\n\n{program}"
            )
        else:
            said = f"reached fitness {_short(candidate.score)}.\n{of_curves(candidate, brief=True)}"
        parts.append(f"{head} {said}")
    return parts


def of_curves(candidate: Candidate, *, brief: bool = False) -> str:
    """A candidate's curves as a table, means over seeds; `brief`: the last values alone."""
    curves = candidate.curves
    if curves is None:
        return ""
    rows = {
        "fitness": curves.fitness,
        "episode length": curves.length,
        "generated reward (return)": curves.generated,
        **{f"component {name} (mean a step)": x for name, x in curves.components.items()},
    }
    at = _columns(curves)
    if brief:
        return ", ".join(f"{name} {_short(_mean(x[-1]))}" for name, x in rows.items())
    lines = [
        f"Means of {curves.fitness.shape[1]} seeds after so many steps of training, each over "
        "whole rollouts:",
        f"steps: {_list(np.array(curves.steps)[at])}",
    ]
    for name, values in rows.items():
        means = np.array([_mean(row) for row in values])
        ends = f"lowest {_short(means.min())}, highest {_short(means.max())}"
        lines.append(f"{name}: {_list(means[at])}, {ends}")
    return "\n".join(lines)


def shot_rows(length: int) -> list[int]:
    """The frames of a rollout of so many steps to show, 0 being its start and `length` its end."""
    return [round(share * length) for share in SHOT_SHARES]


def _columns(curves: Curves) -> np.ndarray:
    count = len(curves.steps)
    return np.unique(np.linspace(0, count - 1, min(COLUMNS, count)).round().astype(int))


def _mean(row: np.ndarray) -> float:
    """The mean over seeds that have a number."""
    finite = row[np.isfinite(row)]
    return float(finite.mean()) if finite.size else float("nan")


def _list(values: np.ndarray) -> str:
    return "[" + ", ".join(_short(value) for value in values) + "]"


def _short(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
