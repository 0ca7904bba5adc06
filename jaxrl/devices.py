"""Sharing the seeds of a run out among the devices of a machine.

Seeds never hear of each other: a share of them on each device needs no communication. On a CPU a
device is a core, where jax was told so before it started (`use_cores`): small networks have
products too small to be cut up among XLA's threads, which leaves most cores idle.
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


SMALL_PRODUCT = 2**22
"""Multiplications of a layer's product below which XLA's threads take more time than they save."""


def use_cores(num_seeds: int | None = None, config: Any = None) -> None:
    """Makes the best of a CPU's cores: to be called before jax is first used.

    A device is made of each core that this process may run on, for seeds to be shared out among.
    One seed of small networks runs on one thread of XLA's instead: with more, kernels of a few
    microseconds are handed from one to the other.

    jax makes its devices when it is first used, and keeps them. Where it is too late, or where the
    number of CPU devices was chosen by jax's own setting or by XLA's flag, nothing changes.

    Args:
        num_seeds: how many will be trained together; None where that is not known yet.
        config: the algorithm's, for the sizes of its products; None where they are not known.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if jax.config.jax_num_cpu_devices > 0 or "host_platform_device_count" in flags:
        return
    if num_seeds == 1:
        if _has_small_products(config) and not {"NPROC", "PJRT_NPROC"} & os.environ.keys():
            # XLA reads it once, when its devices are made; other programs should not find it.
            os.environ["NPROC"] = "1"
            jax.local_devices(backend="cpu")
            del os.environ["NPROC"]
        return
    try:
        jax.config.update("jax_num_cpu_devices", _num_cores())
    except RuntimeError:  # jax has started: its devices stay as they are
        return


def _has_small_products(config: Any) -> bool:
    """Whether a gradient step's largest product between hidden layers is small."""
    rows, widths = _rows(config), getattr(config, "hidden_sizes", ())
    if rows is None or not widths:
        return False
    return rows * max(a * b for a, b in zip(widths, (*widths[1:], 1), strict=True)) < SMALL_PRODUCT


def _rows(config: Any) -> int | None:
    """Rows of a gradient step's batch; None where the config does not tell."""
    if hasattr(config, "batch_size"):
        return config.batch_size
    if hasattr(config, "num_envs") and hasattr(config, "num_steps"):
        return config.num_envs * config.num_steps // getattr(config, "num_minibatches", 1)
    return None


def seed_mesh(num_seeds: int) -> Mesh | None:
    """A mesh of as many local devices as share the seeds evenly; None where that is one."""
    devices = jax.local_devices()
    count = max(n for n in range(1, len(devices) + 1) if num_seeds % n == 0)
    if count == 1:
        return None
    return Mesh(np.array(devices[:count]), (AXIS,), axis_types=(AxisType.Auto,))


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
        mesh: from `seed_mesh`; None leaves all seeds on one device.
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
    split, whole = PartitionSpec(AXIS), PartitionSpec()
    specs = (split,) * of_seeds + (whole,) * shared
    return jax.shard_map(share, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)(*args)


def seeded(mesh: Mesh | None) -> NamedSharding | None:
    """How an array `[S, ...]` lies on the mesh; None lets jax decide."""
    return None if mesh is None else NamedSharding(mesh, PartitionSpec(AXIS))


def everywhere(mesh: Mesh | None) -> NamedSharding | None:
    """How an array that all seeds share lies on the mesh; None lets jax decide."""
    return None if mesh is None else NamedSharding(mesh, PartitionSpec())


def _num_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
