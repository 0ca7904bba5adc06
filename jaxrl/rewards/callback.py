"""`callback`: one call to the host at the end of an update, for all seeds, on what is due in it.

Exact: every label is there when its step is learned from. The device waits for the model.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.rewards import alarms
from jaxrl.rewards.alarms import Tally
from jaxrl.rewards.controls import Control
from jaxrl.rewards.frames import (
    Asked,
    Drawing,
    Frames,
    blank,
    due,
    once_for_all,
    put,
    select,
    show,
)
from jaxrl.rewards.judge import Judge, Verdicts, like_verdicts
from jaxrl.types import Array, Key, Mean, Metrics, PyTree, Trajectory


class Spec(NamedTuple):
    """What the three ways have in common; fixed before anything is traced."""

    drawing: Drawing
    judge: Judge
    control: Control
    frames: Frames
    every: int
    max_frames: int | None
    alarm: alarms.Policy


class VLMState(NamedTuple):
    """What a model's reward carries from update to update.

    Attributes:
        rows: steps of each lane so far, int32.
        tally: what has been answered so far.
        control: the control's own state.
        more: what the way of asking carries beside.
    """

    rows: Array
    tally: Tally
    control: PyTree
    more: PyTree = ()


def init(spec: Spec, key: Key) -> VLMState:
    """A state in which nothing has been asked."""
    tally = alarms.empty(len(spec.judge.rules))
    return VLMState(jnp.int32(0), tally, spec.control.init(key))


def annotate(
    spec: Spec, state: VLMState, trajectory: Trajectory
) -> tuple[VLMState, Trajectory, Metrics]:
    """R_v on the judged steps `[S, T, B]`, 0 on the others; no label where there is no answer."""
    trajectory = once_for_all(trajectory)
    wanted, asked = chosen(spec, state, trajectory)
    verdicts = ask(spec, asked)
    state, value, ok = settle(spec, state, verdicts, asked.valid)
    reward = put(jnp.zeros_like(trajectory.reward), asked, value, ok)
    answered = put(jnp.zeros_like(wanted), asked, ok, ok)
    metrics = about(spec, state, verdicts, value, ok, asked.valid, wanted)
    state = state._replace(rows=state.rows + wanted.shape[1])
    return state, trajectory._replace(reward=reward, labelled=answered | ~wanted), metrics


def chosen(spec: Spec, state: VLMState, trajectory: Trajectory) -> tuple[Array, Asked]:
    """Which steps `[S, T, B]` are due, and those of them that there is room for, `[S, M]`."""
    wanted = due(trajectory, spec.frames, spec.every, state.rows)
    return wanted, select(trajectory, wanted, spec.max_frames)


def ask(spec: Spec, asked: Asked) -> Verdicts:
    """Verdicts `[S, M]` on the frames of all seeds; nobody is called where there is none."""
    valid = asked.valid.ravel()
    states = jax.tree.map(lambda x: x.reshape(valid.size, 1, *x.shape[2:]), asked.state)
    like = like_verdicts(valid.size, len(spec.judge.rules))
    if spec.control.asks:
        flat = show(spec.drawing, states, valid, partial(spec.judge.ask, valid.size), like)
    else:
        flat = blank(like)
    return jax.tree.map(lambda x: x.reshape(*asked.valid.shape, *x.shape[1:]), flat)


def settle(
    spec: Spec, state: VLMState, verdicts: Verdicts, valid: Array
) -> tuple[VLMState, Array, Array]:
    """The tally with these verdicts, and what of them the learner gets: values and `ok`."""
    shape = valid.shape
    flat = jax.tree.map(lambda x: x.reshape(valid.size, *x.shape[len(shape) :]), verdicts)
    tally = alarms.count(
        state.tally,
        flat.bucket,
        flat.ok,
        flat.fired,
        flat.answered & flat.first & valid.ravel(),
    )
    control, value, ok = spec.control.apply(state.control, flat.value, flat.ok, valid.ravel())
    if spec.alarm == "mask":
        ok &= ~alarms.any_raised(tally)
    value = jnp.where(ok, value, 0.0)
    state = state._replace(tally=tally, control=control)
    return state, value.reshape(shape), ok.reshape(shape)


def about(
    spec: Spec,
    state: VLMState,
    verdicts: Verdicts,
    value: Array,
    ok: Array,
    valid: Array,
    wanted: Array,
) -> Metrics:
    """What is shown of an update, each `[S]`.

    `vlm/labelled` is the share of the due frames that have a label; what is missing was not
    answered, not parsed, masked by an alarm, or had no slot.
    """
    ones = jnp.ones(valid.shape[0], jnp.float32)

    def total(x: Array) -> Array:
        return x.sum(tuple(range(1, x.ndim)), dtype=jnp.float32)

    def share(part: Array, whole: Array) -> Mean:
        return Mean(total(part), total(whole))

    def once(number: Array) -> Mean:
        return Mean(number.astype(jnp.float32) * ones, ones)

    asked = valid & verdicts.arrived
    metrics = {
        "reward/vlm": share(value, ok),
        "vlm/frames": Mean(total(valid), ones),
        "vlm/labelled": share(ok, wanted),
        "vlm/unanswered": share(asked & ~verdicts.answered, asked),
        "vlm/unparsed": share(verdicts.answered & ~verdicts.ok, verdicts.answered),
        "vlm/commonest": once(alarms.commonest(state.tally)),
        "vlm/entropy": once(alarms.entropy(state.tally)),
    }
    for index, rule in enumerate(spec.judge.rules):
        fired = verdicts.fired[..., index]
        metrics[f"vlm/rule/{rule}"] = share(fired & verdicts.answered, verdicts.answered)
    for kind, rings in alarms.raised(state.tally).items():
        metrics[f"vlm/alarm/{kind}"] = once(rings)
    return metrics
