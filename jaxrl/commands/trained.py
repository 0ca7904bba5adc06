"""A trained policy to compare with: of a run folder, or of the environment's preset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

from jaxrl.commands import train
from jaxrl.environment import env_name
from jaxrl.evaluation import moved
from jaxrl.presets import PRESETS, known_as
from jaxrl.run.opening import open_run
from jaxrl.types import Algorithm, PyTree

ROOT = Path("runs")


def trained_policy(choice: str, env: Any) -> tuple[str, Algorithm, PyTree] | None:
    """`(name, algorithm, policy)` of the first seed of a run, to be played in `env`.

    Args:
        choice: a run folder; `preset` for the environment's preset, which is trained where that
            has not been done before; `none`.
        env: the environment to play in.

    Returns:
        None for `none`, and where there is no preset for the environment.

    Raises:
        RunFolderError: not a run folder.
        SpaceError: trained on other observations or actions.
    """
    if choice == "none":
        return None
    folder = Path(choice)
    if choice == "preset":
        algorithm = _preset_of(env_name(env))
        if algorithm is None:
            return None
        folder = ROOT / env_name(env) / algorithm / "baseline"
        _train(algorithm, env_name(env), folder)
    opened = open_run(folder)
    policy = jax.tree.map(lambda x: x[0], opened.policies)
    name = f"trained {opened.record.config['algorithm']}"
    return name, moved(opened.algorithm, env), policy


def _preset_of(env: str) -> str | None:
    """The algorithm whose preset is taken: PPO's if there is one, else the first."""
    found = [algorithm for algorithm, name, *_ in PRESETS if name == known_as(env)]
    return "ppo" if "ppo" in found else next(iter(found), None)


def _train(algorithm: str, env: str, folder: Path) -> None:
    """Trains one seed of the preset into the folder, or goes on with what is there."""
    if (folder / "result.json").exists():
        return
    print(f"training the preset of {algorithm} for {env}, once, into {folder} …")
    if (folder / "config.json").exists():
        train.main([algorithm, env, "--resume", str(folder)])
    else:
        train.main([algorithm, env, "--seeds", "1", "--out", str(folder), "--no-gif"])
