"""Sweeps: every combination of a grid of settings, numbers side by side in one program."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxrl.config import is_static
from jaxrl.errors import ConfigError, unknown_name
from jaxrl.programs import Lane
from jaxrl.records import TrainResult
from jaxrl.training import train, which_seeds
from jaxrl.types import Algorithm, EnvParams


def sweep(
    build: Callable[[Any], Algorithm],
    config: Any,
    grid: Mapping[str, Sequence[Any]],
    env_params: EnvParams | None = None,
    *,
    seeds: int | Sequence[int] = 1,
    **settings: Any,
) -> list[TrainResult]:
    """Trains every combination of a grid: numbers side by side in one program, sizes in turn.

    Args:
        build: `config -> Algorithm`, e.g. `lambda config: jaxrl.ppo(env, config)`.
        config: the config that the grid changes.
        grid: field name to values, e.g. `{"learning_rate": [1e-4, 3e-4], "num_envs": [4, 64]}`.
        env_params: parameters of the environment; default its own.
        seeds: seeds of every combination.
        **settings: passed on to `train`. With `out`, each combination of static fields gets a
            run folder of its own within it.

    Returns:
        One result per combination of static fields. Its lanes are the combinations of floats
        times the seeds; `result.info.labels` names them.

    Raises:
        UnknownNameError: a field that the config does not have.
        ConfigError: an empty grid, or a value out of range.
    """
    fields = {field.name: field for field in dataclasses.fields(config)}
    for name, values in grid.items():
        if name not in fields:
            raise unknown_name("config field", name, fields)
        if not values:
            raise ConfigError(f"the grid has no value for {name}: give at least one.")
    if not grid:
        raise ConfigError("the grid is empty: give at least one field with its values.")
    # A number that is None in some combinations changes the program, as a size does.
    statics = [n for n, values in grid.items() if is_static(fields[n]) or None in values]
    numbers = [name for name in grid if name not in statics]
    out = settings.pop("out", None)
    programs = []
    for static_values in _combinations(grid, statics):
        labels = [static_values | values for values in _combinations(grid, numbers)]
        # Building each checks it, all of them before the first trains. The programs of those
        # that differ in numbers are one: any of them stands for all.
        algorithms = [build(config.replace(**label)) for label in labels]
        lanes = [
            Lane(seed, algorithm.config, label)
            for algorithm, label in zip(algorithms, labels, strict=True)
            for seed in which_seeds(seeds)
        ]
        folder = out
        if out is not None and statics:
            folder = Path(out) / ",".join(f"{name}={v}" for name, v in static_values.items())
        programs.append((algorithms[0], lanes, folder))
    return [
        train(algorithm, env_params, lanes=lanes, out=folder, **settings)
        for algorithm, lanes, folder in programs
    ]


def _combinations(grid: Mapping[str, Sequence[Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    values = itertools.product(*(grid[name] for name in names))
    return [dict(zip(names, combination, strict=True)) for combination in values]
