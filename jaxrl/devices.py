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


def use_cores() -> None:
    """Makes a device of each core that this process may run on, for seeds to be shared out among.

    jax makes its devices when it is first used, and keeps them: to be called before. Where it is
    too late, or where the number of CPU devices was chosen by jax's own setting or by XLA's flag,
    nothing changes.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if jax.config.jax_num_cpu_devices > 0 or "host_platform_device_count" in flags:
        return
    try:
        jax.config.update("jax_num_cpu_devices", _num_cores())
    except RuntimeError:  # jax has started: its devices stay as they are
        return


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
