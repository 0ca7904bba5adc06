"""`jaxrl sweep ALGO ENV --grid NAME=A,B …`: numbers side by side in one program, sizes in turn."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from jaxrl.algorithms import algorithm_entry
from jaxrl.commands.options import (
    TrainOptions,
    enable_compilation_cache,
    make_env,
    parse,
    parse_value,
    split_target,
    starting_point,
)
from jaxrl.commands.train import training_settings
from jaxrl.devices import use_cores
from jaxrl.errors import ConfigError
from jaxrl.records import TrainResult
from jaxrl.run.folder import by_setting, default_run_path, over_seeds
from jaxrl.run.plots import BAND_FROM
from jaxrl.run.progress import Progress
from jaxrl.stats import iqm
from jaxrl.sweeping import sweep

USAGE = """usage: jaxrl sweep ALGO ENV --grid learning_rate=1e-4,3e-4 ent_coef=0,0.01 [--seeds 4] …

Trains every combination of the grid's values. Combinations of numbers share one compiled program;
each combination of sizes and switches has its own.
"""


@dataclasses.dataclass(frozen=True)
class SweepOptions(TrainOptions):
    """The flags of `jaxrl sweep` that are not the algorithm's own."""

    grid: tuple[str, ...] = ()
    """What to vary: NAME=VALUE,VALUE,… each."""


def main(argv: Sequence[str]) -> None:
    """Runs the command."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return
    typed, env_name, flags = split_target("sweep", argv)
    algorithm_name, known, config = starting_point(typed, env_name)
    entry = algorithm_entry(algorithm_name)
    options, config = parse(f"jaxrl sweep {typed} {env_name}", flags, SweepOptions(), config)
    if options.resume or options.config:
        raise ConfigError("a sweep takes neither --resume nor --config: give the flags themselves.")
    use_cores()  # before anything makes an array
    env, env_params = make_env(env_name, options.env_params, known.env_settings if known else None)
    grid = parse_grid(options.grid, config)
    enable_compilation_cache()
    out = options.out or default_run_path(env_name, algorithm_name, "runs/sweeps")
    progress = Progress()
    with contextlib.closing(progress):
        results = sweep(
            lambda config: entry.build(env, config),
            config,
            grid,
            env_params,
            seeds=options.which_seeds,
            callbacks=[progress],
            out=out,
            **training_settings(options, known),
        )
    Console().print(table_of(results, grid))
    print(f"run folders: {out}")


def parse_grid(texts: Sequence[str], config: Any) -> dict[str, list[Any]]:
    """`("a=1,2", "b=x")` as `{"a": [1, 2], "b": ["x"]}`; `64x64` is `(64, 64)` for tuples.

    Raises:
        ConfigError: a text of another form.
    """
    grid: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.replace("-", "_")
        if not equals or not values:
            raise ConfigError(f"--grid {text!r}: type NAME=VALUE,VALUE, without blanks.")
        if isinstance(getattr(config, name, None), tuple):
            grid[name] = [tuple(map(parse_value, value.split("x"))) for value in values.split(",")]
        else:
            grid[name] = [parse_value(value) for value in values.split(",")]
    return grid


def table_of(results: Sequence[TrainResult], grid: dict[str, list[Any]]) -> Table:
    """Every combination with its return over seeds, the best first."""
    rows = []
    for result in results:
        if result.final is None:
            continue
        for label, scores in by_setting(result.final.per_seed, result.info.labels):
            low, high = over_seeds(scores)["ci95"] or (np.nan, np.nan)
            rows.append((iqm(scores), low, high, scores.size, label))
    table = Table(title="final evaluation return")
    for name in grid:
        table.add_column(name)
    for column in ("IQM", "95 % interval", "seeds"):
        table.add_column(column, justify="right")
    for middle, low, high, seeds, label in sorted(rows, key=lambda row: -row[0]):
        interval = f"[{low:.1f}, {high:.1f}]" if seeds >= BAND_FROM else "–"
        values = [str(label[name]) for name in grid]
        table.add_row(*values, f"{middle:.1f}", interval, str(seeds))
    return table
