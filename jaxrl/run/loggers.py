"""Other places to log to, off by default: TensorBoard and Weights & Biases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxrl.errors import missing_extra
from jaxrl.records import LogPoint, RunInfo, TrainResult
from jaxrl.run.folder import describe_run, summarize_result
from jaxrl.types import PyTree

PER_SEED_UP_TO = 8
"""Up to this many seeds, each has a curve of its own beside their mean."""


def scalars(point: LogPoint, seeds: tuple[int, ...]) -> dict[str, float]:
    """A log point as named numbers: the mean over seeds, each of a few seeds, and the timing.

    A metric that had nothing to count (NaN) is left out.
    """
    rows = {name: x for name, x in point.timing.items() if np.isfinite(x)}
    for name, values in point.metrics.items():
        if np.isfinite(values).any():
            rows[name] = float(np.nanmean(values))
        if 1 < len(seeds) <= PER_SEED_UP_TO:
            per_seed = zip(seeds, values, strict=True)
            rows |= {f"{name}/seed{seed}": float(x) for seed, x in per_seed if np.isfinite(x)}
    return rows


class TensorBoard:
    """A `Callback` that writes TensorBoard event files."""

    def __init__(self, folder: str | Path) -> None:
        """Writes into `folder`.

        Raises:
            MissingExtraError: tensorboardX is not installed.
        """
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise missing_extra("tensorboardX", "tensorboard", "TensorBoard logs") from error
        self._writer = SummaryWriter(str(folder))

    def on_start(self, info: RunInfo) -> None:
        """Writes the settings as text."""
        self._seeds = info.seeds
        self._writer.add_text("config", str(describe_run(info)))

    def on_log(self, point: LogPoint) -> None:
        """Writes one point."""
        for name, value in scalars(point, self._seeds).items():
            self._writer.add_scalar(name, value, point.step)

    def on_checkpoint(self, update: int, state: PyTree, point: LogPoint) -> None:
        """Nothing to write."""

    def on_end(self, result: TrainResult) -> None:
        """Closes the files."""
        self.close()

    def close(self) -> None:
        """Closes the files; to be called where a run ended by an exception."""
        self._writer.close()


class WandB:
    """A `Callback` that logs to Weights & Biases. The key is wandb's own business."""

    def __init__(self, project: str, **settings: Any) -> None:
        """Logs to `project`; `settings` go to `wandb.init`.

        Raises:
            MissingExtraError: wandb is not installed.
        """
        try:
            import wandb  # pyright: ignore[reportMissingImports]  # an extra that `dev` leaves out
        except ImportError as error:
            raise missing_extra("wandb", "wandb", "logging to Weights & Biases") from error
        self._wandb, self._project, self._settings = wandb, project, settings
        self._run: Any = None

    def on_start(self, info: RunInfo) -> None:
        """Starts the run."""
        self._seeds = info.seeds
        self._run = self._wandb.init(
            project=self._project, config=describe_run(info), **self._settings
        )

    def on_log(self, point: LogPoint) -> None:
        """Logs one point."""
        self._run.log(scalars(point, self._seeds), step=point.step)

    def on_checkpoint(self, update: int, state: PyTree, point: LogPoint) -> None:
        """Nothing to log."""

    def on_end(self, result: TrainResult) -> None:
        """Writes the summary and closes the run."""
        self._run.summary.update(summarize_result(result))
        self.close()

    def close(self) -> None:
        """Closes the run; to be called where it ended by an exception."""
        if self._run is not None:
            self._run.finish()
            self._run = None
