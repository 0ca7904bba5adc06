"""Which states of a trajectory a model is shown, and drawing them on the device.

The frame that belongs to a step is of the state that it led to, from before any auto-reset: the
reward of arriving there. `collect` keeps states, not pixels, and of an update only the frames that
are asked about are drawn: rows that count are moved to the front, the smallest of a few sizes that
holds them is taken (each is a branch of one `switch`), and within it `BLOCK` at a time are drawn
until none is left. An update without a frame draws nothing and calls nobody.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.experimental import io_callback

from jaxrl.environment import supports_describe, supports_render
from jaxrl.errors import ConfigError, EnvironmentContractError, check_range, unknown_name
from jaxrl.types import Array, EnvParams, EnvState, PyTree, Record, Recorded, Trajectory

Frames = Literal["episode_end", "every", "both"]
"""Which steps are judged: those that end an episode, every k-th of a lane, or both."""

BLOCK = 2
"""Frames drawn by one call of `render`. Few episodes end in an update: of a larger block most would
be drawn for nothing, and one picture is work enough for a processor's vectors."""

SMALLEST = 8
"""Frames that the smallest buffer holds."""

GROWTH = 8
"""By how much one buffer of frames is larger than the next smaller one."""


class Asked(NamedTuple):
    """The steps of an update that are judged, `[S, M]`.

    Attributes:
        state: what each led to, `[S, M, ...]`.
        time, lane: where it is in the trajectory, int32; -1 on unused slots.
        valid: False on unused slots.
    """

    state: EnvState
    time: Array
    lane: Array
    valid: Array


class Drawing(NamedTuple):
    """How a state becomes what a model is told.

    Attributes:
        render: `state -> uint8 [H, W, 3]`.
        describe: `state -> {name: scalar}`, the quantities that the prompt is about.
    """

    render: Callable[[EnvState], Array]
    describe: Callable[[EnvState], dict[str, Array]]


def needs(frames: Frames) -> Record:
    """Which environment states `collect` must keep."""
    return "episode_end" if frames == "episode_end" else "every_step"


def drawing(
    env: Any, params: EnvParams, size: tuple[int, int], quantities: Collection[str]
) -> Drawing:
    """The environment's own pictures, `(height, width)` pixels, and some of its quantities.

    Raises:
        ConfigError: a size that is none.
        EnvironmentContractError: the environment cannot be drawn on the device.
        UnknownNameError: a quantity that it does not describe.
    """
    if not supports_render(env):
        raise EnvironmentContractError(
            f"{env.name} has no render(state, params, *, height, width), and a model judges "
            "pictures: use an environment that has (`jaxrl envs` lists them), or give yours one."
        )
    height, width = size
    check_range("the frame's height", height, 8)
    check_range("the frame's width", width, 8)

    def describe(state: EnvState) -> dict[str, Array]:
        if not quantities:
            return {}
        every = env.describe(state, params) if supports_describe(env) else {}
        for name in quantities:
            if name not in every:
                hint = f"The prompt is about it, and {env.name} does not describe it."
                raise unknown_name("quantity", name, every, hint)
        return {name: every[name] for name in quantities}

    return Drawing(lambda state: env.render(state, params, height=height, width=width), describe)


def due(trajectory: Trajectory, frames: Frames, every: int, rows_before: Array) -> Array:
    """Which steps are to be judged, bool `[S, T, B]`.

    Args:
        trajectory: `[S, T, B, ...]`.
        frames: which kind.
        every: of a lane's steps, each such one; counted from the episode's start where updates
            play whole episodes, else from the run's.
        rows_before: steps of each lane before this trajectory, int32.
    """
    steps = jnp.ones_like(trajectory.terminated) if trajectory.valid is None else trajectory.valid
    chosen = jnp.zeros_like(steps)
    if frames in ("episode_end", "both"):
        chosen |= trajectory.terminated | trajectory.truncated
    if frames in ("every", "both"):
        before = rows_before if trajectory.valid is None else 0
        number = before + 1 + jnp.arange(steps.shape[1])
        chosen |= (number % every == 0)[None, :, None]
    return chosen & steps


def select(trajectory: Trajectory, due: Array, max_frames: int | None) -> Asked:
    """The first `max_frames` steps of each seed that are due, in order of time; None for all.

    Where only the states of episode ends were kept, those that `collect` had room for.
    """
    record: Recorded = trajectory.record
    num_seeds, num_steps, num_lanes = due.shape
    if record.time is not None:
        assert record.lane is not None and record.valid is not None
        kept = record.valid.shape[1] if max_frames is None else max_frames
        slots = jax.tree.map(lambda x: x[:, :kept], record)
        time, lane = (jnp.where(slots.valid, x, -1) for x in (slots.time, slots.lane))
        return Asked(slots.state, time, lane, slots.valid)
    size = min(max_frames or math.inf, num_steps * num_lanes)
    flat = jax.vmap(lambda x: jnp.nonzero(x.ravel(), size=int(size), fill_value=-1)[0])(due)
    time, lane = jnp.divmod(flat, num_lanes)
    valid = flat >= 0
    seed = jnp.arange(num_seeds)[:, None]
    state = jax.tree.map(lambda x: x[seed, time, lane], record.state)
    return Asked(state, jnp.where(valid, time, -1), jnp.where(valid, lane, -1), valid)


def put(like: Array, asked: Asked, values: Array, mask: Array) -> Array:
    """`like` `[S, T, B]` with `values` `[S, M]` at the asked steps where `mask`."""
    seed = jnp.arange(like.shape[0])[:, None]
    # An index beyond the end is dropped.
    time = jnp.where(mask & asked.valid, asked.time, like.shape[1])
    return like.at[seed, time, asked.lane].set(values, mode="drop")


def show(
    drawing: Drawing,
    states: EnvState,
    valid: Array,
    host: Callable[..., PyTree],
    answer: PyTree,
    *extra: Array,
    always: Array | bool = False,
) -> PyTree:
    """Draws the states that count and calls the host with them, once; no call where none counts.

    Args:
        drawing: how to draw.
        states: `[N, G, ...]`, the `G` frames of each question.
        valid: which count, bool `[N]`.
        host: `(rows int32 [n], count, frames uint8 [n, G, H, W, 3], quantities {name: [n, G]},
            *extra) -> answer`; of the `n` rows the first `count` are questions that count.
        answer: shapes and types of what it gives back.
        extra: more arrays for the host.
        always: call it even where nothing counts.

    Returns:
        The host's answer; zeros where it was not called.
    """
    total = valid.shape[0]
    sizes = _sizes(total)
    count = valid.sum(dtype=jnp.int32)
    order = jnp.nonzero(valid, size=sizes[-1], fill_value=0)[0].astype(jnp.int32)

    def call(size: int) -> PyTree:
        rows = order[:size]
        chosen = jax.tree.map(lambda x: x[rows], states)
        frames = _drawn(drawing.render, chosen, count)
        quantities = jax.vmap(jax.vmap(drawing.describe))(chosen)
        return io_callback(host, answer, rows, count, frames, quantities, *extra)

    fitting = 1 + jnp.searchsorted(jnp.asarray(sizes), count)
    index = jnp.where(count > 0, fitting, jnp.asarray(always, jnp.int32))
    branches = [partial(blank, answer), *(partial(call, size) for size in sizes)]
    return jax.lax.switch(index, branches)


def _sizes(total: int) -> list[int]:
    """Sizes of the buffers, each `GROWTH` times the last; the largest holds all."""
    sizes = [min(SMALLEST, total)]
    while sizes[-1] < total:
        sizes.append(min(sizes[-1] * GROWTH, total))
    return sizes


def _drawn(render: Callable[[EnvState], Array], states: EnvState, count: Array) -> Array:
    """The frames `[n, G, H, W, 3]` of the first `count` rows, black beyond their last block."""
    every = jax.vmap(jax.vmap(render))
    like = jax.eval_shape(every, states)
    block = min(BLOCK, like.shape[0])

    def draw(i: Array, frames: Array) -> Array:
        # At the end both slices are moved back alike, and some rows are drawn twice.
        some = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, i * block, block, 0), states)
        return jax.lax.dynamic_update_slice_in_dim(frames, every(some), i * block, 0)

    # The number of blocks is traced: what is not asked about is not drawn.
    return jax.lax.fori_loop(0, -(-count // block), draw, jnp.zeros(like.shape, like.dtype))


def blank(like: PyTree) -> PyTree:
    """Zeros of these shapes and types; random keys are made of zeros."""

    def zeros(x: Any) -> Array:
        if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jnp.zeros(x.shape, x.dtype)
        data = jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct(x.shape, x.dtype))
        return jax.random.wrap_key_data(jnp.zeros(data.shape, data.dtype))

    return jax.tree.map(zeros, like)


@custom_vmap
def once_for_all(trajectory: Trajectory) -> Trajectory:
    """The trajectory itself; under a caller's `vmap` an error, before anything runs.

    There a host call would be made for every lane in turn, or, under a condition, not at all.
    """
    return trajectory


@once_for_all.def_vmap
def _refuse(axis_size: int, in_batched: list[Any], trajectory: Trajectory) -> tuple[Any, Any]:
    del axis_size, in_batched, trajectory
    raise ConfigError(
        "this reward asks a model through a call to the host, which cannot be under a vmap over "
        "runs: use jaxrl.train(..., seeds=N), which asks once an update for all seeds together, or "
        "make_train without the vmap."
    )
