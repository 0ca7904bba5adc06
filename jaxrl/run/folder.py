"""The run folder: what a run was, what it did, and what came of it.

==================  ==========================================================================
`config.json`       what was asked for: environment, algorithm, every setting, seeds, hash
`machine.json`      where it ran: processor, memory, devices, versions
`metrics.jsonl`     one line a log point, a list over seeds for each metric; null is "nothing"
`result.json`       the outcome: evaluation with interval, steps to threshold, time, memory
`checkpoints/`      whole train states; what `--resume` goes on from
`policy/`           the trained policies as safetensors, and the config they belong to
`curve.png`         evaluation return against steps
`rollout.gif`       one episode of the first seed's policy
==================  ==========================================================================
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrl.errors import MissingExtraError, RunFolderError
from jaxrl.records import EvalSummary, LogPoint, RunInfo, TrainResult
from jaxrl.run.checkpoint import Checkpointer, save_policy, write_json
from jaxrl.run.machine import machine, versions
from jaxrl.stats import iqm, stratified_bootstrap_ci
from jaxrl.types import PyTree

FORMAT = 1
"""Version of the folder's layout; one of another version is refused."""

NOT_FINITE = ("inf", "-inf", "nan")
"""How a setting that is no finite number, such as `max_grad_norm=inf`, stands in `config.json`."""


class RunRecord(NamedTuple):
    """A run folder as read back.

    Attributes:
        path: the folder.
        config: `config.json`.
        history: the log points, evaluations as their means only.
        result: `result.json`, or None while the run has not ended.
    """

    path: Path
    config: dict[str, Any]
    history: list[LogPoint]
    result: dict[str, Any] | None


class RunFolder:
    """Writes a run into a folder; a `Callback`."""

    def __init__(self, path: str | Path) -> None:
        """Opens a new folder.

        Raises:
            RunFolderError: there is a run in it already.
        """
        self.path = Path(path)
        if (self.path / "config.json").exists():
            raise RunFolderError(
                f"{path} holds a run already: give another --out, or --resume {path}."
            )
        self._checkpoints: Checkpointer | None = None

    @classmethod
    def resume(cls, path: str | Path, info: RunInfo) -> RunFolder:
        """Opens the folder of a run that was cut off.

        Raises:
            RunFolderError: not a run folder, one that has ended, or one with other settings.
        """
        record = read_run(path)
        check_same_config(record, info)
        if record.result is not None:
            raise RunFolderError(f"{path} has run to its end: start another with --out.")
        folder = cls.__new__(cls)
        folder.path, folder._checkpoints = Path(path), None
        return folder

    @property
    def checkpoints(self) -> Checkpointer:
        """The folder's checkpoints."""
        if self._checkpoints is None:
            self._checkpoints = Checkpointer(self.path / "checkpoints")
        return self._checkpoints

    def restore(self, like: PyTree) -> tuple[int, list[LogPoint], PyTree]:
        """Goes back to the last checkpoint: `(update, history up to it, state)`.

        A run killed before its first checkpoint begins anew: `(0, [], like)`. Lines of the log
        that lie beyond the checkpoint are cut, so that none is written twice.
        """
        update = self.checkpoints.latest()
        history = [p for p in _read_metrics(self.path) if p.update <= (update or 0)]
        lines = "".join(_line(point) for point in history)
        part = self.path / "metrics.jsonl.part"
        part.write_text(lines)
        os.replace(part, self.path / "metrics.jsonl")
        if update is None:
            return 0, [], like
        return update, history, self.checkpoints.restore(like, update)

    def on_start(self, info: RunInfo) -> None:
        """Writes what the run is, before it does anything."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "config.json", describe_run(info))
        write_json(self.path / "machine.json", machine())

    def on_log(self, point: LogPoint) -> None:
        """Appends a line, and sees it to the disk's cache."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(_line(point))

    def on_checkpoint(self, update: int, state: PyTree, point: LogPoint) -> None:
        """Saves a checkpoint; the best is the one with the highest mean evaluation return."""
        metric = float(np.mean(point.metrics["eval/return"]))
        self.checkpoints.save(update, state, metric=metric)

    def on_end(self, result: TrainResult) -> None:
        """Writes the outcome, the policy, and the curve if matplotlib is there."""
        save_policy(self.path / "policy", result.state)
        write_json(self.path / "policy" / "config.json", describe_run(result.info))
        from jaxrl.run.plots import plot

        try:
            plot(result, path=self.path / "curve.png")
        except MissingExtraError as error:
            print(f"no curve.png: {error}")
        # Last: with it the run has ended, and whoever was killed before it can still resume.
        write_json(self.path / "result.json", summarize_result(result))


def default_run_path(env: str, algorithm: str, root: str | Path = "runs") -> Path:
    """`ROOT/ENV/ALGORITHM/TIME`, made just now and empty.

    It is made here because runs started in the same second, each in its own process, would
    otherwise all be given the same folder.
    """
    parent = Path(root) / env.replace(":", "-") / algorithm
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    path, n = parent / stamp, 1
    while not _made(path):
        n += 1
        path = parent / f"{stamp}-{n}"
    return path


def _made(path: Path) -> bool:
    """Makes the folder; False if it was there."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        return False
    return True


def describe_run(info: RunInfo) -> dict[str, Any]:
    """`config.json`: everything that was asked for, and a hash of what makes two runs alike.

    Seeds are not in the hash: the same settings with more seeds are the same experiment.
    """
    asked = {
        "env": info.env_name,
        "algorithm": info.algorithm.name,
        "config": plain(info.algorithm.config),
        "env_arguments": plain(info.env_arguments),
        "env_params": plain(info.env_params),
        "reward": info.reward_name,
        "total_steps": info.total_steps,
        "labels": [plain(label) for label in info.labels],
    }
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return {
        "format": FORMAT,
        **asked,
        "seeds": list(info.seeds),
        "settings": plain(info.settings),
        "config_hash": digest[:16],
    }


def summarize_result(result: TrainResult) -> dict[str, Any]:
    """`result.json`. The lanes of a sweep are summarised setting by setting, in `sweep`."""
    info = result.info
    return {
        "env": info.env_name,
        "algorithm": info.algorithm.name,
        "seeds": list(info.seeds),
        "total_steps": result.history[-1].step if result.history else 0,
        "stopped_early": result.stopped_early,
        "eval_return": None if result.final is None else _summarize(result.final, info.labels),
        "steps_to_threshold": list(result.steps_to_threshold),
        "compile_seconds": result.compile_seconds,
        "train_seconds": result.train_seconds,
        "wall_seconds": result.wall_seconds,
        "steps_per_second": result.steps_per_second,
        "peak_memory_bytes": result.peak_memory_bytes,
        "versions": versions(),
        "config_hash": describe_run(info)["config_hash"],
        **result.notes,
    }


def _summarize(final: EvalSummary, labels: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """An evaluation. Over lanes of different settings there is no mean: `sweep` has one each."""
    scores = final.per_seed
    settings = by_setting(scores, labels)
    about = {
        "per_seed": [float(x) for x in scores],
        **(over_seeds(scores) if len(settings) == 1 else {"iqm": None, "ci95": None}),
        "episodes": int(final.returns.shape[1]),
        "unfinished_episodes": int((~final.finished).sum()),
        "greedy": final.greedy,
    }
    if labels:
        about["sweep"] = [
            {"settings": plain(label), "per_seed": plain(mine), **over_seeds(mine)}
            for label, mine in settings
        ]
    return about


def by_setting(
    scores: np.ndarray, labels: Sequence[dict[str, Any]]
) -> list[tuple[dict[str, Any], np.ndarray]]:
    """Scores `[S]` apart by the settings of a sweep's lanes: all in one where it was none."""
    if not labels:
        return [({}, scores)]
    distinct = [label for i, label in enumerate(labels) if label not in labels[:i]]
    return [(label, scores[[other == label for other in labels]]) for label in distinct]


def over_seeds(scores: np.ndarray) -> dict[str, Any]:
    """`iqm` and `ci95` of scores `[S]`; the interval is over seeds, so a single one has none."""
    interval = None
    if scores.size > 1:
        interval = list(stratified_bootstrap_ci(scores, rng=np.random.default_rng(0)))
    return {"iqm": iqm(scores), "ci95": interval}


def read_run(path: str | Path) -> RunRecord:
    """Reads a run folder, finished or not.

    Raises:
        RunFolderError: not a run folder, or one of another version.
    """
    path = Path(path)
    file = path / "config.json"
    if not file.exists():
        raise RunFolderError(
            f"{path} is not a run folder (no config.json in it): give one that `jaxrl train` "
            "wrote, such as runs/ENV/ALGORITHM/TIME."
        )
    try:
        config = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise RunFolderError(
            f"{file} is not JSON ({error}), so {path} is not a run folder: give one that "
            "`jaxrl train` wrote, such as runs/ENV/ALGORITHM/TIME."
        ) from error
    if config.get("format") != FORMAT:
        raise RunFolderError(
            f"{path} has format {config.get('format')}, this jaxrl reads {FORMAT}: use the "
            "version of jaxrl that wrote it (machine.json names it)."
        )
    for part in ("config", "env_arguments", "env_params"):
        config[part] = from_plain(config[part])
    outcome = path / "result.json"
    result = json.loads(outcome.read_text()) if outcome.exists() else None
    return RunRecord(path, config, _read_metrics(path), result)


def check_same_config(record: RunRecord, info: RunInfo) -> None:
    """Raises `RunFolderError` naming every setting that differs from the folder's."""
    now, then = describe_run(info), plain(record.config)
    differing = []
    for part in ("env", "algorithm", "reward", "total_steps", "seeds", "labels"):
        if now[part] != then[part]:
            differing.append(f"{part}: {then[part]} there, {now[part]} now")
    for part in ("config", "env_arguments", "env_params", "settings"):
        for name in sorted({*now[part], *then[part]}):
            before, after = then[part].get(name), now[part].get(name)
            if before != after:
                differing.append(f"{name}: {before} there, {after} now")
    if differing:
        raise RunFolderError(
            f"{record.path} was started with other settings ({'; '.join(differing)}): resume it "
            "with its own, or start a new run with --out."
        )


def plain(value: Any) -> Any:
    """A config or parameters as JSON has them: numbers, texts, lists, dicts.

    JSON has no infinity and no NaN: they become the texts of `NOT_FINITE`.
    """
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        return plain(np.asarray(value).tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    return repr(value)


def from_plain(value: Any) -> Any:
    """What `plain` wrote, with the texts of `NOT_FINITE` as numbers again."""
    if isinstance(value, dict):
        return {key: from_plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    return float(value) if isinstance(value, str) and value in NOT_FINITE else value


def _line(point: LogPoint) -> str:
    values = {name: [_finite(x) for x in array] for name, array in point.metrics.items()}
    timing = {name: _finite(x) for name, x in point.timing.items()}
    row = {"step": point.step, "update": point.update, **values, **timing}
    return json.dumps(row, allow_nan=False) + "\n"


def _finite(x: Any) -> float | None:
    return float(x) if math.isfinite(x) else None


def _number(x: float | None) -> float:
    """What `_finite` wrote, NaN where nothing was counted."""
    return math.nan if x is None else x


def _read_metrics(path: Path) -> list[LogPoint]:
    """The whole lines of `metrics.jsonl`; a last line that was cut off is not one."""
    file = path / "metrics.jsonl"
    points = []
    for line in file.read_text().splitlines(keepends=True) if file.exists() else []:
        if not line.endswith("\n"):
            break
        row = json.loads(line)
        step, update = row.pop("step"), row.pop("update")
        timing = {k: _number(v) for k, v in row.items() if not isinstance(v, list)}
        metrics = {
            name: np.array([_number(x) for x in values])
            for name, values in row.items()
            if isinstance(values, list)
        }
        points.append(LogPoint(step, update, metrics, timing))
    return points
