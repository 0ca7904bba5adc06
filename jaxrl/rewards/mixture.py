"""A mixture of two rewards, R = (1 - α) R_e + α R_v.

After Gu et al. 2025 (ActionVLM), §3.1, where R_e is the environment's reward and R_v what a
vision-language model's words about the frame are worth. R_v is defined on the frames that are
judged and 0 on all others: there R is (1 - α) R_e. That is not the same as a judged frame whose
label failed: such a row has no reward at all, and is not learned from.

α = 0 is the first source itself, bit for bit and without a call; α = 1 leaves nothing of it.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import check_range
from jaxrl.types import Array, Key, Mean, Metrics, PyTree, Record, RewardSource, Trajectory

STRENGTH: tuple[Record, ...] = ("nothing", "episode_end", "every_step")


class MixtureState(NamedTuple):
    """The states of both sources, and what late labels have to be mixed with.

    Attributes:
        first, second: theirs.
        past: R_e of the steps that a label can still come for, a ring `[S, L, B]`; None where
            labels never come late.
        rows: steps of each lane so far, int32; None likewise.
    """

    first: PyTree
    second: PyTree
    past: Array | None = None
    rows: Array | None = None


def mixture(first: RewardSource, second: RewardSource, alpha: float) -> RewardSource:
    """`(1 - alpha)` of the first source's reward and `alpha` of the second's.

    Reports both, before mixing, as `reward/environment` (mean over steps) and what the second
    says of itself.

    Args:
        first: usually `environment()`.
        second: usually `vlm(...)`; its labels may come late.
        alpha: α, in [0, 1].

    Raises:
        ConfigError: α out of range, or a first source whose labels come late.
    """
    check_range("alpha", alpha, 0, 1)
    check_range("the updates by which the first source of a mixture is late", first.late_by, 0, 0)
    if alpha == 0:
        return first

    mixed = _Mixed(first, second, alpha)
    return RewardSource(
        name=f"mixture({first.name}, {second.name}, alpha={alpha:g})",
        init=partial(_init, mixed),
        annotate=partial(_annotate, mixed),
        needs=max(first.needs, second.needs, key=STRENGTH.index),
        listener=second.listener if first.listener is None else first.listener,
        prepare=partial(_prepare, mixed),
        late_by=second.late_by,
        on_host=first.on_host or second.on_host,
    )


class _Mixed(NamedTuple):
    """What is mixed."""

    first: RewardSource
    second: RewardSource
    alpha: float


def _init(mixed: _Mixed, key: Key) -> MixtureState:
    key_first, key_second = jax.random.split(key)
    return MixtureState(mixed.first.init(key_first), mixed.second.init(key_second))


def _prepare(mixed: _Mixed, state: MixtureState, trajectory: Trajectory) -> MixtureState:
    first, second, _ = mixed
    if first.prepare is not None:
        state = state._replace(first=first.prepare(state.first, trajectory))
    if second.prepare is not None:
        state = state._replace(second=second.prepare(state.second, trajectory))
    if not second.late_by:
        return state
    num_seeds, num_steps, num_lanes = trajectory.reward.shape
    length = (second.late_by + 1) * num_steps
    past = jnp.zeros((num_seeds, length, num_lanes), jnp.float32)
    return state._replace(past=past, rows=jnp.int32(0))


def _annotate(
    mixed: _Mixed, state: MixtureState, trajectory: Trajectory
) -> tuple[MixtureState, Trajectory, Metrics]:
    first, second, alpha = mixed
    first_state, of_first, metrics = first.annotate(state.first, trajectory)
    second_state, of_second, more = second.annotate(state.second, trajectory)
    base = of_first.reward
    decided = of_second._replace(
        reward=(1 - alpha) * base + alpha * of_second.reward,
        labelled=_both(of_first.labelled, of_second.labelled),
    )
    state = state._replace(first=first_state, second=second_state)
    if of_second.late is not None:
        state = _remember(state, base)
        old = _recall(state, of_second.late.row, of_second.late.lane)
        reward = (1 - alpha) * old + alpha * of_second.late.reward
        decided = decided._replace(late=of_second.late._replace(reward=reward))
    return state, decided, metrics | more | {"reward/environment": _mean(base, trajectory.valid)}


def _both(first: Array | None, second: Array | None) -> Array | None:
    """Where both have a label; None where no label can be missing."""
    if first is None or second is None:
        return second if first is None else first
    return first & second


def _remember(state: MixtureState, reward: Array) -> MixtureState:
    """The ring with the rewards `[S, T, B]` of one more trajectory, over the oldest ones."""
    assert state.past is not None and state.rows is not None
    at = state.rows % state.past.shape[1]
    past = jax.lax.dynamic_update_slice_in_dim(state.past, reward, at, 1)
    return state._replace(past=past, rows=state.rows + reward.shape[1])


def _recall(state: MixtureState, row: Array, lane: Array) -> Array:
    """R_e of rows `[S, M]`, by their number since the beginning."""
    past: Any = state.past
    return past[jnp.arange(past.shape[0])[:, None], row % past.shape[1], lane]


def _mean(reward: Array, valid: Array | None) -> Mean:
    """The mean reward of each seed's steps, `[S]`."""
    steps = jnp.ones_like(reward) if valid is None else valid.astype(reward.dtype)
    return Mean((reward * steps).sum((1, 2)), steps.sum((1, 2)))
