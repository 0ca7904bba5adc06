"""Where lanes go whose episodes ended, and how the starts of the next ones are drawn.

A start is drawn in one of three ways, whose starts have the same distribution:

By need: for the lanes that ended, some lanes at a time. So it is done on a CPU.

Ahead: for every lane and step of a rollout, before it begins; most are thrown away. On a CPU that
pays where a start costs next to nothing (`is_cheap`, `are_small`): a call of threefry in a loop's
body costs more than a step of CartPole. Elsewhere it is done with all starts. Memory: a state and
an observation for each lane and step, at most `STARTS_AHEAD_BYTES`.

For all lanes in each step: on other devices, where drawing ahead would take too much memory. A loop
of unknown length is expected to cost more there than drawing for all lanes; that was not measured.

Which way it is decides which starts a seed has. It depends on the kind of device, on the number of
lanes, and on whether a rollout's starts are within `STARTS_AHEAD_BYTES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from jaxrl.types import Array, EnvState, Key, PyTree

STARTS_AHEAD_BYTES = 2**24
"""Up to this size, the starts of episodes for a whole rollout are drawn at once."""
SMALL_START_BYTES = 128
"""Up to this size of state and observation, a start may be drawn for nothing."""
FEW_LANES = 2
"""With so few lanes drawing by need costs more than it saves, even where each needs a key."""
MANY_LANES = 1024
"""From so many on, drawing by need costs no more than a word a lane: it is as fast or faster."""
FEWEST_STARTS, SHARE_OF_STARTS = 8, 32
"""By need, starts are drawn for one in 32 lanes at a time, but for eight at least."""

Starts = tuple[PyTree, EnvState]
"""`(obs, state)`, `[B, ...]`."""

Restart = Callable[[Array, Starts], Starts]
"""`(ended [B], (obs, state)) -> (obs, state)`: puts lanes whose episodes ended at a start."""


def taking(starts: Starts) -> Restart:
    """Restarts from starts that are there already, one for each lane."""
    return lambda ended, after: select_lanes(ended, starts, after)


def by_need(draw: Callable[[Key, int], Starts], key: Key) -> Restart:
    """Restarts that draw `draw(key, K)`, `[K, ...]`, for the lanes that ended, K lanes at a time.

    Mostly few end, so that a round or two are enough; where all do, some at a time are hardly
    dearer than all at once. A seed's starts do not depend on the seeds beside it, but under a
    `vmap` all of them draw as many rounds as the one of whose lanes most ended.
    """

    def restart(ended: Array, after: Starts) -> Starts:
        num_envs = ended.shape[0]
        at_once = min(num_envs, max(FEWEST_STARTS, num_envs // SHARE_OF_STARTS))
        lanes, count = _in_order(ended, at_once)

        def some(carry: tuple[Array, Starts]) -> tuple[Array, Starts]:
            done, lanes_at = carry
            chosen = jax.lax.dynamic_slice(lanes, (done,), (at_once,))
            start = draw(jax.random.fold_in(key, done), at_once)
            return done + at_once, _put(lanes_at, chosen, start)

        more = lambda carry: any_lane(carry[0] < count)  # noqa: E731
        return jax.lax.while_loop(more, some, (jnp.int32(0), after))[1]

    return restart


def _in_order(ended: Array, spare: int) -> tuple[Array, Array]:
    """The lanes that ended `[B + spare]`, and how many.

    Behind them stands B, which is no lane, so often that `spare` can be read from any of them on.
    """
    num_envs = ended.shape[0]
    rank = jnp.cumsum(ended, dtype=jnp.int32)
    place = jnp.where(ended, rank - 1, num_envs + spare)
    none = jnp.full(num_envs + spare, num_envs, jnp.int32)
    return none.at[place].set(jnp.arange(num_envs, dtype=jnp.int32), mode="drop"), rank[-1]


def _put(into: PyTree, lanes: Array, rows: PyTree) -> PyTree:
    """`into` `[B, ...]` with rows at some lanes; those at the number of no lane are dropped."""
    return jax.tree.map(lambda old, new: old.at[lanes].set(new, mode="drop"), into, rows)


def draws_by_need() -> bool:
    """Whether the device is one on which starts are drawn by need."""
    return jax.default_backend() == "cpu"


def is_cheap(env: Any, num_envs: int) -> bool:
    """Whether starts of lanes may be drawn for nothing, if they are small.

    They may where one draw of the environment's own `reset_batch` serves all lanes, or where there
    are few: else a threefry key per lane is most of what they cost. Not where there are many, and
    not where the host makes them. A wrapper's are as those of what it wraps.
    """
    if num_envs >= MANY_LANES or getattr(env, "on_host", False):
        return False
    inner = getattr(env, "env", None)
    if inner is not None:
        return is_cheap(inner, num_envs)
    return num_envs <= FEW_LANES or hasattr(env, "reset_batch")


def are_small(starts: PyTree, num_envs: int) -> bool:
    """Whether starts `[B, ...]` are so small that cheap ones may be drawn for nothing."""
    return num_bytes(starts) <= SMALL_START_BYTES * num_envs


def num_bytes(tree: PyTree) -> int:
    """Size of arrays, or of what stands for them."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def select_lanes(mask: Array, on_true: PyTree, on_false: PyTree) -> PyTree:
    """Lane by lane, the leaf of one tree or of the other. `mask` is bool `[B]`."""

    def pick(a: Array, b: Array) -> Array:
        return jnp.where(mask.reshape(mask.shape + (1,) * (a.ndim - mask.ndim)), a, b)

    return jax.tree.map(pick, on_true, on_false)


@custom_vmap
def any_lane(running: Array) -> Array:
    """Whether any of bool `[B]` or `[]` is true: of all seeds, under a `vmap` over them.

    A plain `any` would be one answer per seed. A loop with such a condition selects, seed by seed,
    between all that it carries and what the iteration made of it: the whole trajectory, every time.
    One answer for all is as right where seeds that are done change nothing any more.
    """
    return running.any()


@any_lane.def_vmap
def _any_lane_of_all(axis_size: int, in_batched: list[bool], running: Array) -> tuple[Array, bool]:
    del axis_size, in_batched
    return any_lane(running), False
