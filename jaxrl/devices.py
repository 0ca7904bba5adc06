"""Sharing a run out among devices: its seeds, or the rows of one seed's minibatches.

Seeds never hear of each other: a share of them on each device needs no communication. On a CPU a
device is a core, where jax was told so before it started (`use_cores`): small networks have
products too small to be cut up well among XLA's threads, which leaves most cores idle.

One seed with large minibatches is on every core at once: each does the whole of an update, and of
its gradients the share of its rows. They tell each other their sums once a gradient step.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "seeds"
"""The axis of a mesh along which seeds are shared out."""

ROWS = "jaxrl.rows"
"""The axis of a mesh whose devices share the rows of one seed's minibatches."""

SMALL_PRODUCT = 2**22
"""Multiplications of a layer's product below which XLA's threads take more time than they save."""

SHARED_PRODUCT = 2**23
"""Multiplications of a layer's product from which it pays to share its rows out among cores."""


def use_cores(num_seeds: int | None = None, config: Any = None) -> None:
    """Makes the best of a CPU's cores: to be called before jax is first used.

    A device is made of each core that this process may run on, for seeds to be shared out among, or
    the minibatches of one. One seed of small networks runs on one thread of XLA's instead: with
    more, kernels of a few microseconds are handed from one to the other.

    jax makes its devices when it is first used, and keeps them. Where it is too late, or where the
    number of CPU devices was chosen by jax's own setting or by XLA's flag, nothing changes.

    Args:
        num_seeds: how many will be trained together; None where that is not known yet.
        config: the algorithm's, for the sizes of its products; None where they are not known.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if jax.config.jax_num_cpu_devices > 0 or "host_platform_device_count" in flags:
        return
    small, shares_rows = _has_small_products(config), _shares_rows(config)
    if num_seeds != 1 or shares_rows:
        try:
            jax.config.update("jax_num_cpu_devices", _num_cores())
        except RuntimeError:  # jax has started: its devices stay as they are
            return
    if num_seeds == 1 and (small or shares_rows):
        _start_with_one_thread()


def _start_with_one_thread() -> None:
    """Starts jax with one thread of XLA's to a device, unless the user chose a number of them."""
    if {"NPROC", "PJRT_NPROC"} & os.environ.keys():
        return
    # XLA reads it once, when its devices are made; other programs should not find it.
    os.environ["NPROC"] = "1"
    jax.local_devices(backend="cpu")
    del os.environ["NPROC"]


def _has_small_products(config: Any) -> bool:
    """Whether a gradient step's largest product between hidden layers is small."""
    return 0 < _largest_product(config) < SMALL_PRODUCT


def _shares_rows(config: Any) -> bool:
    """Whether an update is mostly gradients by `minibatch.mean_gradient`, and they are large.

    TRPO's is not: most of it are products with the whole batch, which every device would repeat.
    """
    return hasattr(config, "update_epochs") and _largest_product(config) >= SHARED_PRODUCT


def _largest_product(config: Any) -> int:
    """Multiplications of a gradient step's largest product between hidden layers; 0 if unknown."""
    rows, widths = _rows(config), getattr(config, "hidden_sizes", ())
    if rows is None or not widths:
        return 0
    return rows * max(a * b for a, b in zip(widths, (*widths[1:], 1), strict=True))


def _rows(config: Any) -> int | None:
    """Rows of a gradient step's batch; None where the config does not tell."""
    if hasattr(config, "batch_size"):
        return config.batch_size
    if hasattr(config, "num_envs") and hasattr(config, "num_steps"):
        return config.num_envs * config.num_steps // getattr(config, "num_minibatches", 1)
    return None


def mesh_of(num_seeds: int, config: Any = None) -> Mesh | None:
    """A mesh of as many local devices as share the seeds evenly; None where that is one.

    Given the config of one seed with large minibatches, on a CPU: of as many as share those.
    """
    devices = jax.local_devices()
    axis, shared = AXIS, num_seeds
    if num_seeds == 1 and devices[0].platform == "cpu" and _shares_rows(config):
        axis, shared = ROWS, _rows(config) or 1
    most = len(devices)
    if axis == ROWS:  # each has work enough to pay for telling the others
        most = min(most, max(2, _largest_product(config) // SMALL_PRODUCT))
    count = max(n for n in range(1, most + 1) if shared % n == 0)
    if count == 1:
        return None
    return Mesh(np.array(devices[:count]), (axis,), axis_types=(AxisType.Auto,))


def row_shares() -> int:
    """How many devices share the rows of the minibatch that is being traced; 1 where none does."""
    try:
        return jax.lax.axis_size(ROWS)
    except NameError:  # jax's word for an axis that is not there
        return 1


def over_seeds(
    function: Callable[..., Any],
    *args: Any,
    mesh: Mesh | None = None,
    shared: int = 0,
    keep_axis: bool = False,
) -> Any:
    """The function of every seed, of several under a `vmap`; on each device of the mesh its share.

    One seed is called without a `vmap`: products with a batch axis of one are slower than those
    without it, which small networks feel.

    Args:
        function: of one seed.
        *args: what it takes, `[S, ...]`.
        mesh: from `mesh_of`; None leaves all seeds on one device.
        shared: how many of the last arguments are the same for all seeds, without an axis `[S]`.
        keep_axis: whether one seed is under the `vmap` too. In a loop, XLA copies what is updated
            in place if its axis of one is taken off and put back on.
    """
    of_seeds = len(args) - shared

    def share(*args: Any) -> Any:
        if keep_axis or jax.tree.leaves(args)[0].shape[0] > 1:
            return jax.vmap(function, (0,) * of_seeds + (None,) * shared)(*args)
        one = jax.tree.map(lambda x: x[0], args[:of_seeds])
        return jax.tree.map(lambda x: jnp.asarray(x)[None], function(*one, *args[of_seeds:]))

    if mesh is None:
        return share(*args)
    split, whole = _split(mesh), PartitionSpec()
    specs = (split,) * of_seeds + (whole,) * shared
    return jax.shard_map(share, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)(*args)


def seeded(mesh: Mesh | None) -> NamedSharding | None:
    """How an array `[S, ...]` lies on the mesh; None lets jax decide."""
    return None if mesh is None else NamedSharding(mesh, _split(mesh))


def _split(mesh: Mesh) -> PartitionSpec:
    """How `[S, ...]` is cut up: by seeds, or not at all where devices share one seed's rows."""
    return PartitionSpec(AXIS) if AXIS in mesh.axis_names else PartitionSpec()


def everywhere(mesh: Mesh | None) -> NamedSharding | None:
    """How an array that all seeds share lies on the mesh; None lets jax decide."""
    return None if mesh is None else NamedSharding(mesh, PartitionSpec())


def _num_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
