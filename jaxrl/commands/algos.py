"""`jaxrl algos`: what there is to train with, and what the presets reach."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from jaxrl.algorithms import ALGORITHMS
from jaxrl.presets import PRESETS


def main(argv: Sequence[str]) -> None:
    """Runs the command; `argv` may ask for help only."""
    if argv:
        print(
            "usage: jaxrl algos\n\nLists the algorithms, and what their presets were measured at."
        )
        return
    table = Table(title="algorithms")
    for column in ("name", "what", "actions"):
        table.add_column(column)
    for name, entry in ALGORITHMS.items():
        table.add_row(name, entry.summary, ", ".join(entry.actions))
    presets = Table(title="presets")
    for column in ("algorithm", "environment", "steps", "target", "reached"):
        presets.add_column(column)
    for (algorithm, env, *variant), known in PRESETS.items():
        presets.add_row(
            " ".join([algorithm, *variant]),
            env,
            f"{known.total_steps:,}",
            known.target,
            known.reached,
        )
    console = Console()
    console.print(table)
    console.print(presets)
