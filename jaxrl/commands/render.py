"""`jaxrl render RUN -o x.gif`: films one episode of a run's policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import jax
import tyro

from jaxrl.commands.options import enable_compilation_cache
from jaxrl.errors import ConfigError
from jaxrl.run.opening import open_run
from jaxrl.run.video import rollout_frames, write_video


@dataclasses.dataclass(frozen=True)
class RenderOptions:
    """Films one episode of a run's policy, as a GIF or an MP4."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("rollout.gif")
    """File to write, .gif or .mp4."""
    which: int = 0
    """Which of the run's seeds, counted from 0."""
    stochastic: bool = False
    """Sample actions instead of playing the policy's mode."""
    seed: int = 0
    """Start state."""
    height: int = 400
    """Pixels."""
    width: int = 600
    """Pixels."""
    fps: float = 50.0
    """Frames a second."""
    max_frames: int = 500
    """A longer episode is thinned to every 2nd, 3rd, … frame."""


def main(argv: Sequence[str]) -> None:
    """Runs the command."""
    options = tyro.cli(RenderOptions, args=list(argv), prog="jaxrl render")
    opened = open_run(options.run)
    seeds = len(opened.record.config["seeds"])
    if not 0 <= options.which < seeds:
        raise ConfigError(f"--which {options.which}: the run has seeds 0 to {seeds - 1}.")
    enable_compilation_cache()
    frames = rollout_frames(
        opened.algorithm,
        jax.tree.map(lambda x: x[options.which], opened.policies),
        opened.env_params,
        seed=options.seed,
        greedy=not options.stochastic,
        max_frames=options.max_frames,
        height=options.height,
        width=options.width,
    )
    print(f"{write_video(frames, options.out, options.fps)}: {len(frames)} frames")
