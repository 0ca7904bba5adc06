"""A replay buffer as a pytree on the device: written by rows, sampled by gathers, never copied.

Every lane of the batch of environments has a column, every step a row, in arrays `[C, B, ...]`
that are written at a circular head, a chunk of `T` rows at a time. `C` is a multiple of `T`, so
that writing a chunk is one `dynamic_update_slice`, which XLA does in place where the buffer is
donated and carried through a loop.

Each observation is stored once, in its own type. What is stored at row `i` is what the policy saw
*after* it, so that one write a chunk does: `obs` of row `i` is at row `i - 1`, `next_obs` of row
`i` at row `i`. They differ from what the step led to only where an episode ended. At a termination
nobody asks, for there is no bootstrap. At a truncation the final observation is needed; it is kept
in a side buffer that has one slot for every `block` rows of a lane. Episodes that a time limit
cuts are that far apart, unless the limit is shorter than the environment's own; then, and for the
oldest `block` rows, a final observation may have been overwritten. Such a row is told by its
number, which is stored beside, and is masked out: never is it bootstrapped from another episode.

Rows are named by their number since the beginning, the same for all lanes. A row whose reward is
not known yet is masked out too, until `relabel` has put one in place.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl.errors import ConfigError
from jaxrl.types import Array, Key, PyTree, Trajectory

FINALS_EVERY = 32
"""Rows of a lane that share a slot for a final observation, if the time limit is not shorter."""

TERMINATED, TRUNCATED, LABELLED = 1, 2, 4
"""Bits of `Replay.flags`."""


class Layout(NamedTuple):
    """The sizes of a replay buffer, fixed before anything is traced.

    Attributes:
        capacity: rows that can be sampled, the newest ones.
        rows: rows in memory, `C`: more than `capacity`, and a multiple of `chunk`.
        chunk: rows of one write, `T`.
        block: rows of a chunk that share a slot for a final observation.
        chunks_per_slot: chunks that share it, where a chunk is shorter than a block may be.
        stored_as: type in which observations are stored.
        seen_as: type in which they come and go.
    """

    capacity: int
    rows: int
    chunk: int
    block: int
    chunks_per_slot: int
    stored_as: str
    seen_as: str

    @property
    def slots_per_chunk(self) -> int:
        """Slots for final observations that a chunk touches."""
        return math.ceil(self.chunk / self.block)

    @property
    def slots(self) -> int:
        """Slots for final observations of one lane, `F`."""
        groups = math.ceil(self.rows // self.chunk / self.chunks_per_slot)
        return groups * self.slots_per_chunk

    def slot(self, row: Array) -> Array:
        """The slot of a row's final observation; `row` is a number since the beginning."""
        chunk, within = jnp.divmod(row % self.rows, self.chunk)
        return chunk // self.chunks_per_slot * self.slots_per_chunk + within // self.block


@struct.dataclass
class Replay:
    """A replay buffer of `C` rows and `B` lanes.

    Attributes:
        later_obs: what the policy saw after each row, `[C, B, *O]`.
        action: `[C, B, ...]`; discrete ones in the smallest type that holds them.
        reward: float32 `[C, B]`.
        flags: uint8 `[C, B]`: `TERMINATED`, `TRUNCATED`, `LABELLED`.
        final_obs: what truncated episodes ended in, `[F, B, *O]`.
        final_row: the row that each of them belongs to, int32 `[F, B]`; -1 for none.
        written: rows written since the beginning, int32.
        layout: the sizes.
    """

    later_obs: Array
    action: Array
    reward: Array
    flags: Array
    final_obs: Array
    final_row: Array
    written: Array
    layout: Layout = struct.field(pytree_node=False)

    @property
    def stored(self) -> Array:
        """Rows that can be sampled, int32."""
        return jnp.minimum(self.written, self.layout.capacity)


class Sample(NamedTuple):
    """Transitions of `n` steps, or fewer where their episode ends, each field `[N, ...]`.

    Attributes:
        obs: where the window begins.
        action: what was done there.
        reward: `Σ_{k<m} γ^k r_k` over the window's `m` steps.
        discount: `γ^m`, or 0 where the episode terminated: the weight of the value of `next_obs`.
        next_obs: where the window ended, from before any reset.
        weight: 1, or 0 for windows that must not be learned from: a reward is missing, or the
            final observation is gone.
    """

    obs: Array
    action: Array
    reward: Array
    discount: Array
    next_obs: Array
    weight: Array


def layout_for(
    capacity: int,
    chunk: int,
    obs_dtype: Any,
    *,
    time_limit: int | None = None,
    stored_as: Any = None,
) -> Layout:
    """The sizes of a buffer that keeps the newest `capacity` rows, written `chunk` at a time.

    Args:
        capacity: rows, at least 1.
        chunk: rows of one write, `T`.
        obs_dtype: type of the environment's observations.
        time_limit: steps after which an episode is cut, if known.
        stored_as: type to store observations in; default their own.
    """
    # One row more than can be sampled: the oldest one's `obs` is in the row before it.
    rows = math.ceil((capacity + 1) / chunk) * chunk
    apart = min(time_limit or FINALS_EVERY, FINALS_EVERY)
    return Layout(
        capacity=capacity,
        rows=rows,
        chunk=chunk,
        block=min(chunk, apart),
        chunks_per_slot=max(1, apart // chunk),
        stored_as=jnp.dtype(stored_as or obs_dtype).name,
        seen_as=jnp.dtype(obs_dtype).name,
    )


def action_dtype(num_actions: int) -> Any:
    """The smallest unsigned type that holds the actions `0 … num_actions - 1`."""
    return jnp.uint8 if num_actions <= 2**8 else jnp.uint16 if num_actions <= 2**16 else jnp.uint32


def empty(layout: Layout, obs: Array, action: Any) -> Replay:
    """A buffer without rows.

    Args:
        layout: the sizes.
        obs: what the policy sees first, `[B, *O]`.
        action: an array, or shape and type, like the actions to be stored, `[B, ...]`.
    """
    num_envs, rows, slots = obs.shape[0], layout.rows, layout.slots
    later_obs = jnp.zeros((rows, *obs.shape), layout.stored_as)
    return Replay(
        later_obs=later_obs.at[-1].set(obs.astype(layout.stored_as)),
        action=jnp.zeros((rows, *action.shape), action.dtype),
        reward=jnp.zeros((rows, num_envs), jnp.float32),
        flags=jnp.zeros((rows, num_envs), jnp.uint8),
        final_obs=jnp.zeros((slots, *obs.shape), layout.stored_as),
        final_row=jnp.full((slots, num_envs), -1, jnp.int32),
        written=jnp.int32(0),
        layout=layout,
    )


def write(replay: Replay, trajectory: Trajectory, obs_after: Array) -> Replay:
    """Appends a chunk, over the oldest rows.

    Args:
        replay: the buffer, `B` lanes.
        trajectory: `[T, B, ...]`, going on in every lane where the last chunk stopped. Rows with
            `labelled` False wait for `relabel`.
        obs_after: what the policy sees next, after any reset, `[B, *O]`.
    """
    layout = replay.layout
    labelled = True if trajectory.labelled is None else trajectory.labelled
    flags = (
        jnp.where(trajectory.terminated, TERMINATED, 0)
        | jnp.where(trajectory.truncated, TRUNCATED, 0)
        | jnp.where(labelled, LABELLED, 0)
    )
    later_obs = jnp.concatenate([trajectory.obs[1:], obs_after[None]])
    head = replay.written % layout.rows

    def put(buffer: Array, rows: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(buffer, rows.astype(buffer.dtype), head, 0)

    final_obs, final_row = _put_finals(replay, trajectory)
    return replay.replace(
        later_obs=put(replay.later_obs, later_obs),
        action=put(replay.action, trajectory.action),
        reward=put(replay.reward, trajectory.reward),
        flags=put(replay.flags, flags),
        final_obs=final_obs,
        final_row=final_row,
        written=replay.written + layout.chunk,
    )


def _put_finals(replay: Replay, trajectory: Trajectory) -> tuple[Array, Array]:
    """The side buffer with each block's last truncation of a chunk in its slot."""
    layout = replay.layout
    lost = trajectory.truncated & ~trajectory.terminated
    spare = layout.slots_per_chunk * layout.block - layout.chunk
    blocks = jnp.pad(lost, ((0, spare), (0, 0))).reshape(-1, layout.block, lost.shape[1])
    last = layout.block - 1 - jnp.argmax(blocks[:, ::-1], axis=1)  # [slots, B], within the block
    time = last + layout.block * jnp.arange(layout.slots_per_chunk)[:, None]
    # Of a block without a truncation `time` is its last row, which may be one of the padding.
    time = jnp.minimum(time, layout.chunk - 1)
    found = blocks.any(axis=1)
    obs = trajectory.next_obs[time, jnp.arange(lost.shape[1])].astype(layout.stored_as)
    first = layout.slot(replay.written)

    def put(buffer: Array, new: Array) -> Array:
        old = jax.lax.dynamic_slice_in_dim(buffer, first, layout.slots_per_chunk, 0)
        mask = found.reshape(found.shape + (1,) * (new.ndim - 2))
        return jax.lax.dynamic_update_slice_in_dim(buffer, jnp.where(mask, new, old), first, 0)

    return put(replay.final_obs, obs), put(replay.final_row, replay.written + time)


def draw(replay: Replay, key: Key, shape: tuple[int, ...], n_step: int = 1) -> tuple[Array, Array]:
    """Where windows begin, for `gather`: nearly uniformly, with replacement, from what is stored.

    Costs one draw, whatever the buffer's size. Needs `n_step` rows in it: of fewer, what is
    gathered has nothing to do with any episode. A word of 32 bits is taken modulo the number of
    rows: some rows are more likely than others, by at most the number of rows over 2^32, which is
    0.02 % for a million rows.

    Returns:
        `(rows, lanes)`, each int32 `shape`.
    """
    num_envs = replay.reward.shape[1]
    # The newest rows begin no window: what follows them is not known yet.
    starts = jnp.maximum(replay.stored - n_step + 1, 1)
    count = (starts * num_envs).astype(jnp.uint32)
    # `randint` would draw two words for each: a twentieth of an update of a small network.
    index = (jax.random.bits(key, shape, jnp.uint32) % count).astype(jnp.int32)
    row, lane = jnp.divmod(index, num_envs)
    return replay.written - replay.stored + row, lane


def gather(
    replay: Replay, row: Array, lane: Array, gamma: Array | float, n_step: int = 1
) -> Sample:
    """The windows of `n_step` rows that begin at these rows of these lanes, int32 `[...]`."""
    layout = replay.layout

    def at(buffer: Array, rows: Array, lanes: Array) -> Array:
        return buffer[rows % layout.rows, lanes]

    steps = jnp.arange(n_step)
    window, lanes = row[..., None] + steps, lane[..., None]
    flags = at(replay.flags, window, lanes)
    ended = (flags & (TERMINATED | TRUNCATED)) > 0
    ended_before = jnp.cumsum(ended, axis=-1) - ended > 0
    labelled = ended_before | ((flags & LABELLED) > 0)
    powers = jnp.asarray(gamma, jnp.float32) ** steps
    reward = jnp.where(ended_before, 0.0, powers * at(replay.reward, window, lanes)).sum(-1)

    length = n_step - ended_before.sum(-1)
    last = row + length - 1
    last_flags = at(replay.flags, last, lane)
    terminated = (last_flags & TERMINATED) > 0
    cut = ~terminated & ((last_flags & TRUNCATED) > 0)
    slot = layout.slot(last)
    is_lost = cut & (replay.final_row[slot, lane] != last)
    next_obs = at(replay.later_obs, last, lane)
    mask = cut.reshape(cut.shape + (1,) * (next_obs.ndim - cut.ndim))
    next_obs = jnp.where(mask, replay.final_obs[slot, lane], next_obs)
    action = at(replay.action, row, lane)
    return Sample(
        obs=at(replay.later_obs, row - 1, lane).astype(layout.seen_as),
        action=action.astype(jnp.int32) if jnp.issubdtype(action.dtype, jnp.integer) else action,
        reward=reward,
        discount=jnp.where(terminated, 0.0, jnp.asarray(gamma, jnp.float32) ** length),
        next_obs=next_obs.astype(layout.seen_as),
        weight=(labelled.all(-1) & ~is_lost).astype(jnp.float32),
    )


def relabel(replay: Replay, rows: Array, lanes: Array, rewards: Array, ok: Array) -> Replay:
    """Puts rewards in place after the fact.

    Args:
        replay: the buffer.
        rows: numbers of rows since the beginning, int32 `[M]`. Those not stored any more, or not
            yet, are left alone.
        lanes: `[M]`.
        rewards: `[M]`.
        ok: bool `[M]`; False leaves a row as it is, waiting if it waited.
    """
    age = replay.written - 1 - rows
    ok &= (age >= 0) & (age < replay.layout.rows) & (rows >= 0)
    # An index beyond the end is dropped.
    at = jnp.where(ok, rows % replay.layout.rows, replay.layout.rows)
    flags = replay.flags[at % replay.layout.rows, lanes] | jnp.uint8(LABELLED)
    return replay.replace(
        reward=replay.reward.at[at, lanes].set(rewards, mode="drop"),
        flags=replay.flags.at[at, lanes].set(flags, mode="drop"),
    )


def num_bytes(replay: PyTree) -> int:
    """Bytes of a buffer, or of what `jax.eval_shape` says of one: nothing is allocated."""
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(replay))


def check_fits(replay: PyTree, copies: int, available: int | None) -> int:
    """Bytes of `copies` buffers, before any is allocated.

    Args:
        replay: a buffer, or what `jax.eval_shape` says of one.
        copies: how many there will be, one for each seed.
        available: bytes that the device has free; None where nobody knows.

    Raises:
        ConfigError: they do not fit; it names the largest size that would.
    """
    needed = copies * num_bytes(replay)
    if available is None or needed <= available:
        return needed
    num_envs = replay.reward.shape[1]
    # As many rows as fit, by halving: bytes never fall with rows.
    fits, too_many = 0, replay.layout.capacity
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        within = copies * _num_bytes_with(replay, middle) <= available
        fits, too_many = (middle, too_many) if within else (fits, middle)
    of_seeds = f" for {copies} seeds" if copies > 1 else ""
    raise ConfigError(
        f"buffer_size={replay.layout.capacity * num_envs} takes {in_words(needed)}{of_seeds}, and "
        f"the device has {in_words(available)} free: the largest that fits is "
        f"buffer_size={fits * num_envs}"
        + (", or train fewer seeds at once." if copies > 1 else ".")
    )


def _num_bytes_with(replay: PyTree, capacity: int) -> int:
    """Bytes of a buffer like this one with another capacity."""
    now = replay.layout
    rows = math.ceil((capacity + 1) / now.chunk) * now.chunk
    then = now._replace(capacity=capacity, rows=rows)
    per_slot = num_bytes((replay.final_obs, replay.final_row)) // now.slots
    per_row = num_bytes((replay.later_obs, replay.action, replay.reward, replay.flags)) // now.rows
    return then.rows * per_row + then.slots * per_slot + num_bytes(replay.written)


def in_words(num_bytes: int) -> str:
    """Bytes with a unit, such as `12.3 MB`."""
    size, units = float(num_bytes), ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.3g} {units[0]}"
