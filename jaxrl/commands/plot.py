"""`jaxrl plot RUN…`: learning curves of one or several runs in one figure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxrl.run.plots import plot


@dataclasses.dataclass(frozen=True)
class PlotOptions:
    """Draws learning curves: IQM and band from ten seeds on, lines under ten."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("curves.png")
    """File to write, by suffix: png, pdf, svg."""


def main(argv: Sequence[str]) -> None:
    """Runs the command."""
    options = tyro.cli(PlotOptions, args=list(argv), prog="jaxrl plot")
    plot(*options.runs, path=options.out)
    print(options.out)
