"""Checkpoints: the whole train state, written so that a kill at any moment leaves a whole one.

orbax writes each checkpoint into a temporary folder and renames it when it is complete; a folder
named by a number is a whole checkpoint. The last `keep_last` are kept, and the best one.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrl.errors import RunFolderError
from jaxrl.types import PolicyState, PyTree

_BEST = "best.json"
_LEAVES = "leaves.json"


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that readers see the old file or the new one, never a half."""
    part = path.with_suffix(path.suffix + ".part")
    part.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")
    os.replace(part, path)


class Checkpointer:
    """Checkpoints of one run, in one folder, by the number of updates done."""

    def __init__(self, folder: str | Path, keep_last: int = 2) -> None:
        """Opens or makes the folder."""
        import orbax.checkpoint as ocp  # half a second, for runs that leave nothing behind

        self.folder = Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.keep_last = keep_last
        self._orbax = ocp.PyTreeCheckpointer()

    def updates(self) -> list[int]:
        """The updates of all whole checkpoints, in order."""
        return sorted(int(p.name) for p in self.folder.iterdir() if p.name.isdigit())

    def latest(self) -> int | None:
        """The last whole checkpoint, or None."""
        updates = self.updates()
        return updates[-1] if updates else None

    def best(self) -> int | None:
        """The checkpoint with the highest metric, or None."""
        path = self.folder / _BEST
        return json.loads(path.read_text())["update"] if path.exists() else None

    def save(self, update: int, state: PyTree, *, metric: float | None = None) -> None:
        """Writes a checkpoint, and removes those no longer kept.

        Args:
            update: updates done; its name.
            state: any pytree of arrays and typed keys; copied to the host first.
            metric: higher is better; None or NaN never makes it the best.
        """
        leaves = {name: np.asarray(_bits(leaf)) for name, leaf in _named_leaves(state)}
        shapes = {name: [list(x.shape), str(x.dtype)] for name, x in leaves.items()}
        write_json(self.folder / _LEAVES, shapes)
        # orbax refuses arrays without elements; their shape is all there is to know of them.
        full = {name: leaf for name, leaf in leaves.items() if leaf.size}
        self._orbax.save(self.folder / str(update), full, force=True)
        for cut_off in self.folder.glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(cut_off)  # left by a process that was killed while saving
        if metric is not None and not np.isnan(metric) and metric >= self._best_metric():
            write_json(self.folder / _BEST, {"update": update, "metric": float(metric)})
        kept = {*self.updates()[-self.keep_last :], self.best()}
        for old in set(self.updates()) - kept:
            shutil.rmtree(self.folder / str(old))

    def restore(self, like: PyTree, update: int | None = None, *, partial: bool = False) -> PyTree:
        """Reads a checkpoint back, bit for bit.

        Args:
            like: a tree of the same structure, concrete or abstract.
            update: which; default the latest.
            partial: leave out what `like` does not have.

        Raises:
            RunFolderError: there is none, or the first leaf that differs from `like`.
        """
        import orbax.checkpoint as ocp

        update = self.latest() if update is None else update
        if update is None or not (self.folder / str(update)).is_dir():
            raise RunFolderError(
                f"{self.folder.parent} holds no checkpoint{'' if update is None else f' {update}'}:"
                " start the run anew, without --resume."
            )
        named = _named_leaves(like)
        saved = json.loads((self.folder / _LEAVES).read_text())
        names = {name for name, _ in named}
        _check_leaves({k: v for k, v in saved.items() if not partial or k in names}, named)
        full = [name for name, (shape, _) in saved.items() if 0 not in shape]
        as_numpy = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in full}
        leaves = self._orbax.restore(self.folder / str(update), restore_args=as_numpy)
        restored = [
            _from_bits(leaves[name], leaf)
            if name in leaves
            else jax.numpy.zeros(leaf.shape, leaf.dtype)
            for name, leaf in named
        ]
        return jax.tree.unflatten(jax.tree.structure(like), restored)

    def _best_metric(self) -> float:
        path = self.folder / _BEST
        return json.loads(path.read_text())["metric"] if path.exists() else -np.inf


def save_policy(folder: str | Path, state: Any) -> None:
    """Writes what acting needs, `params` and `obs_stats`, as `policy.safetensors`."""
    from safetensors.numpy import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    policy = PolicyState(state.params, state.obs_stats)
    save_file(
        # Not `ascontiguousarray`, which makes a row of a scalar.
        {name: np.array(leaf, order="C") for name, leaf in _named_leaves(policy)},
        folder / "policy.safetensors",
    )


def load_policy(folder: str | Path, like: Any) -> PolicyState:
    """Reads a policy back into the structure of `like`, a train or policy state.

    Raises:
        RunFolderError: no policy there, or the first leaf that differs from `like`.
    """
    from safetensors.numpy import load_file

    path = Path(folder) / "policy.safetensors"
    if not path.exists():
        raise RunFolderError(f"{path} does not exist: the run has not ended; --resume it first.")
    tree = PolicyState(like.params, like.obs_stats)
    named, leaves = _named_leaves(tree), load_file(path)
    _check_leaves({n: [list(x.shape), str(x.dtype)] for n, x in leaves.items()}, named)
    restored = [jax.numpy.asarray(leaves[name]) for name, _ in named]
    return jax.tree.unflatten(jax.tree.structure(tree), restored)


def _named_leaves(tree: PyTree) -> list[tuple[str, Any]]:
    """Leaves with the paths that lead to them, such as `train.params.actor`."""
    flat = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in flat]


def _is_key(leaf: Any) -> bool:
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _bits(leaf: Any) -> Any:
    """A typed key as the integers it is made of; other leaves as they are."""
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _from_bits(bits: np.ndarray, like: Any) -> Any:
    if _is_key(like):
        # An abstract key does not tell its implementation: then it is jax's default one.
        impl = jax.random.key_impl(like) if isinstance(like, jax.Array) else None
        return jax.random.wrap_key_data(bits, impl=impl)
    return jax.numpy.asarray(bits)


def _check_leaves(saved: dict[str, Any], named: list[tuple[str, Any]]) -> None:
    wanted = {}
    for name, leaf in named:
        bits = jax.eval_shape(_bits, leaf)
        wanted[name] = [list(bits.shape), str(bits.dtype)]
    for name in [*wanted, *saved]:
        if saved.get(name) != wanted.get(name):
            raise RunFolderError(
                f"the checkpoint has {name} as {_shown(saved.get(name))}, this program needs "
                f"{_shown(wanted.get(name))}: resume with the settings and the version of jaxrl "
                "that it was written with."
            )


def _shown(leaf: Any) -> str:
    return "nothing" if leaf is None else f"{leaf[1]}{leaf[0]}"
