"""`lagged`: labels are asked for now and used up to `lag` updates later, so that nobody waits.

The steps stay in the replay as rows without a label; when the answer is there, it goes in through
`Transition.late`. What is waited for lies in the reward's state, in a ring of `lag` updates, with
the environment states themselves: a run that is resumed asks for all of it again (from the store,
if it has been answered), and no label is lost.

With `wait` the labels of an update come exactly `lag` updates later, and the device waits if they
are not there by then: the same numbers every time. Without, they come as they come, and what is
not there after `lag` updates is given up: it goes to the store, and its row stays masked. A model
may be slower than the training for good; then nothing is gained by drawing and sending more: while
`max_waiting` questions are open, no further one is asked, and those steps have no label either.
`vlm/labelled` says how large a part has one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.rewards.callback import Spec, VLMState, about, chosen, settle
from jaxrl.rewards.frames import Asked, blank, once_for_all, show
from jaxrl.rewards.judge import Verdicts, like_verdicts
from jaxrl.types import Array, EnvState, LateLabels, Mean, Metrics, Trajectory


class Settings(NamedTuple):
    """How late labels may be.

    Attributes:
        lag: in updates.
        wait: deliver them exactly then, whatever it takes.
        max_waiting: questions that may be open at a time, of all seeds; without `wait`.
    """

    lag: int
    wait: bool
    max_waiting: int


class Waiting(NamedTuple):
    """What has been asked and not been delivered, `[lag, S, M]`.

    Attributes:
        state: what to ask about, should it have to be asked again.
        row, lane: where the label goes; see `types.LateLabels`.
        valid: False where nothing is waited for.
        update: updates so far, int32.
        session: the judge's, when this was asked.
    """

    state: EnvState
    row: Array
    lane: Array
    valid: Array
    update: Array
    session: Array


def prepare(spec: Spec, settings: Settings, state: VLMState, trajectory: Trajectory) -> VLMState:
    """The state with room for what a trajectory of these shapes can ask, `lag` updates long."""
    _, asked = jax.eval_shape(lambda t: chosen(spec, state, t), trajectory)
    room = jax.tree.map(lambda x: jax.ShapeDtypeStruct((settings.lag, *x.shape), x.dtype), asked)
    nothing = blank(room)
    waiting = Waiting(
        state=nothing.state,
        row=nothing.time.astype(jnp.int32),
        lane=nothing.lane.astype(jnp.int32),
        valid=nothing.valid,
        update=jnp.int32(0),
        session=jnp.int32(spec.judge.session),
    )
    return state._replace(more=waiting)


def annotate(
    spec: Spec, settings: Settings, state: VLMState, trajectory: Trajectory
) -> tuple[VLMState, Trajectory, Metrics]:
    """Asks about this update's frames `[S, M]`, and delivers what is answered of older ones."""
    trajectory = once_for_all(trajectory)
    wanted, asked = chosen(spec, state, trajectory)
    waiting: Waiting = _asked_again(spec, state.more)
    lag, wait = settings.lag, settings.wait
    slot = waiting.update % lag  # holds the questions of `lag` updates ago, which are due
    is_due = (jnp.arange(lag) == slot)[:, None, None] & waiting.valid
    open_ = is_due if wait else waiting.valid
    if not wait:
        asked = asked._replace(valid=_with_room(settings, waiting.valid & ~is_due, asked.valid))
    verdicts = _exchange(spec, asked, open_, is_due if wait else jnp.zeros_like(is_due), slot)
    arrived = verdicts.arrived & open_
    state, value, ok = settle(spec, state, verdicts, arrived)

    num_seeds = wanted.shape[0]
    late = jax.tree.map(
        lambda x: jnp.moveaxis(x, 1, 0).reshape(num_seeds, -1),
        LateLabels(waiting.row, waiting.lane, value, ok),
    )
    metrics = _about(spec, state, waiting, verdicts, value, ok, arrived, wanted)
    state = state._replace(
        rows=state.rows + wanted.shape[1],
        more=_with(waiting, slot, asked, state.rows, waiting.valid & ~arrived),
    )
    trajectory = trajectory._replace(
        reward=jnp.zeros_like(trajectory.reward), labelled=~wanted, late=late
    )
    return state, trajectory, metrics


def _with_room(settings: Settings, waiting: Array, valid: Array) -> Array:
    """Of the questions `[S, M]`, the first for which there is room beside those that wait."""
    room = settings.max_waiting - waiting.sum()
    place = jnp.cumsum(valid.ravel()).reshape(valid.shape)
    return valid & (place <= room)


def _exchange(spec: Spec, asked: Asked, open_: Array, must: Array, slot: Array) -> Verdicts:
    """New questions out, verdicts `[lag, S, M]` in; one call, and none where there is neither."""
    size = asked.valid.size
    like = like_verdicts(open_.size, len(spec.judge.rules))
    flat = show(
        spec.drawing,
        _questions(asked.state),
        asked.valid.ravel(),
        spec.judge.exchange,
        like,
        open_.ravel(),
        must.ravel(),
        slot * size,
        always=open_.any(),
    )
    return jax.tree.map(lambda x: x.reshape(*open_.shape, *x.shape[1:]), flat)


def _asked_again(spec: Spec, waiting: Waiting) -> Waiting:
    """Sends every question anew where another process had sent it: after a resume."""
    session = jnp.int32(spec.judge.session)
    lag, size = waiting.valid.shape[0], waiting.valid[0].size
    nobody = jnp.zeros(waiting.valid.size, bool)
    like = like_verdicts(waiting.valid.size, len(spec.judge.rules))

    def send(slot: Array, sent: Array) -> Array:
        state, valid = jax.tree.map(lambda x: x[slot], (waiting.state, waiting.valid))
        told = show(
            spec.drawing,
            _questions(state),
            valid.ravel(),
            spec.judge.exchange,
            like,
            nobody,
            nobody,
            slot * size,
        )
        return sent | told.arrived.any()

    # No turn where nothing was lost; each would copy its states. The loop's result is used below,
    # so that it is made before anything is collected.
    turns = jnp.where(waiting.session == session, 0, lag)
    sent = jax.lax.fori_loop(0, turns, send, jnp.bool_(False))
    return waiting._replace(session=session, valid=waiting.valid & ~sent)


def _questions(state: EnvState) -> EnvState:
    """States `[S, M, ...]` as questions of one frame, `[S·M, 1, ...]`."""
    return jax.tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1], 1, *x.shape[2:]), state)


def _with(waiting: Waiting, slot: Array, asked: Asked, rows: Array, left: Array) -> Waiting:
    """The ring with this update's questions in the slot of those that were due."""

    def put(ring: Array, new: Array) -> Array:
        return jax.lax.dynamic_update_index_in_dim(ring, new, slot, 0)

    return waiting._replace(
        state=jax.tree.map(put, waiting.state, asked.state),
        row=put(waiting.row, (rows + asked.time).astype(jnp.int32)),
        lane=put(waiting.lane, asked.lane.astype(jnp.int32)),
        valid=put(left, asked.valid),
        update=waiting.update + 1,
    )


def _about(
    spec: Spec,
    state: VLMState,
    waiting: Waiting,
    verdicts: Verdicts,
    value: Array,
    ok: Array,
    arrived: Array,
    wanted: Array,
) -> Metrics:
    """What is shown, each `[S]`: of the verdicts that came, and how old they are in updates.

    `vlm/labelled` is the labels that came over the steps that were due meanwhile.
    """

    def by_seed(x: Any) -> Any:
        return jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), x)

    lag = waiting.valid.shape[0]
    age = (waiting.update - 1 - jnp.arange(lag)) % lag + 1
    ages = jnp.where(arrived, age[:, None, None], 0)
    came, value, ok, arrived = by_seed((verdicts._replace(arrived=arrived), value, ok, arrived))
    metrics = about(spec, state, came, value, ok, arrived, wanted)
    return metrics | {
        "vlm/label_age": Mean(
            ages.sum((0, 2)).astype(jnp.float32), arrived.sum((1, 2), dtype=jnp.float32)
        )
    }
