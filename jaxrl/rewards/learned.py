"""`model`: a few hundred labels train a reward model on the device, and that scores every step.

The model is asked about frames drawn at random from what is due, `round_size` questions at a time,
one round after the other, until `num_labels` have been asked; nobody waits for the answers. When a
round's answers are there, they go into a buffer and the ensemble is trained on all of it. From
then on R_v of a step is the mean of the ensemble's members; before, there is none, and rows are not
learned from. Steps in a replay keep the reward that they came with.

All seeds share the questions and the ensemble: what it costs does not depend on how many they are,
and an interval over seeds covers the training, not the reward model.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import ConfigError
from jaxrl.rewards import reward_model
from jaxrl.rewards.callback import Spec, VLMState, about, settle
from jaxrl.rewards.frames import blank, due, once_for_all, show
from jaxrl.rewards.judge import Verdicts, like_verdicts
from jaxrl.rewards.reward_model import Buffer, Ensemble, Labels
from jaxrl.types import Array, EnvState, Key, Mean, Metrics, Recorded, Trajectory


class Settings(NamedTuple):
    """How the reward model is made.

    Attributes:
        labels: absolute values, or preferences between two frames.
        num_labels: questions in all.
        round_size: questions of a round.
        steps: gradient steps after a round.
        lag: with `wait`, updates after which a round's answers are used.
        wait: use them exactly then, and wait for them: the same numbers every time.
    """

    labels: Labels
    num_labels: int
    round_size: int
    steps: int
    lag: int
    wait: bool


class Learning(NamedTuple):
    """What the reward model and the round under way carry.

    Attributes:
        ensemble, buffer: see `reward_model`.
        key: randomness.
        asked: questions so far, int32.
        state: what the round asks about, `[P, G, ...]`, should it have to be asked again.
        features: of the same, `[P, G, F]`.
        valid: bool `[P]`, questions whose outcome is not known.
        age: updates since the round was sent, int32.
        session: the judge's, when it was.
    """

    ensemble: Ensemble
    buffer: Buffer
    key: Key
    asked: Array
    state: EnvState
    features: Array
    valid: Array
    age: Array
    session: Array


class Round(NamedTuple):
    """Questions to be sent now; all False in `valid` where none are."""

    state: EnvState
    features: Array
    valid: Array


def prepare(spec: Spec, settings: Settings, state: VLMState, trajectory: Trajectory) -> VLMState:
    """The state with an ensemble for observations of this shape, and room for a round.

    `state.more` is the key that its randomness comes from.

    Raises:
        ConfigError: observations are pictures.
    """
    shape = trajectory.next_obs.shape[3:]
    if len(shape) > 1:
        raise ConfigError(
            f"mode='model' scores observations by a small dense network, and these are of shape "
            f"{shape}: train from the vector state, or use mode='callback'."
        )
    frames = 2 if settings.labels == "pairwise" else 1
    record: Recorded = trajectory.record
    lead = (settings.round_size, frames)
    states = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((*lead, *x.shape[3:]), x.dtype), record.state
    )
    size = math.prod(shape)
    key, key_init = jax.random.split(state.more)
    learning = Learning(
        ensemble=reward_model.init(key_init, size),
        buffer=reward_model.empty(settings.num_labels, frames, size),
        key=key,
        asked=jnp.int32(0),
        state=blank(states),
        features=jnp.zeros((*lead, size)),
        valid=jnp.zeros(settings.round_size, bool),
        age=jnp.int32(0),
        session=jnp.int32(spec.judge.session),
    )
    return state._replace(more=learning)


def annotate(
    spec: Spec, settings: Settings, state: VLMState, trajectory: Trajectory
) -> tuple[VLMState, Trajectory, Metrics]:
    """Scores every step `[S, T, B]` by the ensemble, and goes on with asking and training it."""
    trajectory = once_for_all(trajectory)
    learning: Learning = state.more
    key, key_round, key_append, key_fit = jax.random.split(learning.key, 4)
    new = _next_round(spec, settings, state, trajectory, key_round)
    learning, verdicts = _exchange(spec, settings, learning, new)
    arrived = verdicts.arrived & learning.valid
    state, value, ok = settle(spec, state, verdicts, arrived)
    gone = arrived | (learning.valid & _is_due(settings, learning))
    buffer = reward_model.append(learning.buffer, learning.features, value, ok, key_append)
    # A round is learned from when it is whole.
    whole = gone.any() & ~(learning.valid & ~gone).any() & (buffer.count > 0)
    ensemble = jax.lax.cond(
        whole,
        lambda: reward_model.fit(
            learning.ensemble, buffer, key_fit, settings.steps, settings.labels
        ),
        lambda: learning.ensemble,
    )
    # Questions are nobody's: every seed shows the same.
    metrics = about(spec, state, *_for_each(trajectory, (verdicts, value, ok, gone, gone)))
    learning = learning._replace(
        ensemble=ensemble, buffer=buffer, key=key, valid=learning.valid & ~gone
    )
    learning = _sent(learning, new)
    state = state._replace(rows=state.rows + trajectory.reward.shape[1], more=learning)
    reward, labelled, more = _scored(ensemble, buffer, trajectory)
    return state, trajectory._replace(reward=reward, labelled=labelled), metrics | more


def _for_each(trajectory: Trajectory, of_round: Any) -> Any:
    """`[P, ...]` as `[S, P, ...]`."""
    num_seeds = len(trajectory.reward)
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (num_seeds, *x.shape)), of_round)


def _scored(
    ensemble: Ensemble, buffer: Buffer, trajectory: Trajectory
) -> tuple[Array, Array, Metrics]:
    """R_v of every step, whether there is one yet, and what is shown of it."""
    features = _features(trajectory.next_obs, 3)
    scores = reward_model.score(ensemble, features)
    labelled = jnp.broadcast_to(ensemble.trained, trajectory.reward.shape)
    reward = jnp.where(labelled, scores.mean(0), 0.0)
    steps = labelled if trajectory.valid is None else labelled & trajectory.valid

    def over_steps(x: Array) -> Mean:
        return Mean(jnp.where(steps, x, 0.0).sum((1, 2)), steps.sum((1, 2), dtype=jnp.float32))

    ones = jnp.ones(len(reward))
    return (
        reward,
        labelled,
        {
            "reward/vlm": over_steps(reward),
            "vlm/spread": over_steps(scores.std(0)),
            "vlm/labels": Mean(buffer.count * ones, ones),
        },
    )


def _next_round(
    spec: Spec, settings: Settings, state: VLMState, trajectory: Trajectory, key: Key
) -> Round:
    """Questions drawn from what is due, if no round is under way and any are left to ask."""
    learning: Learning = state.more
    wanted = due(trajectory, spec.frames, spec.every, state.rows).ravel()
    size, frames = learning.features.shape[:2]
    # The largest of random numbers: a draw without replacement, of what is due alone.
    order = jnp.where(wanted, jax.random.uniform(key, wanted.shape), -1.0)
    number = min(size * frames, wanted.size)
    rows = jnp.resize(jax.lax.top_k(order, number)[1], (size, frames))
    there = jnp.arange(size) < jnp.minimum(wanted.sum(), number) // frames
    left = jnp.arange(size) < settings.num_labels - learning.asked
    record: Recorded = trajectory.record
    return Round(
        jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:])[rows], record.state),
        _features(trajectory.next_obs, 3).reshape(-1, learning.features.shape[-1])[rows],
        there & left & ~learning.valid.any(),
    )


def _exchange(
    spec: Spec, settings: Settings, learning: Learning, new: Round
) -> tuple[Learning, Verdicts]:
    """The new round out, or the old one again after a resume; and what has been answered of it."""
    session = jnp.int32(spec.judge.session)
    size = learning.valid.size
    like = like_verdicts(size, len(spec.judge.rules))
    host, nobody = spec.judge.exchange, jnp.zeros(size, bool)
    lost = learning.valid & (learning.session != session)
    told = show(spec.drawing, learning.state, lost, host, like, nobody, nobody, jnp.int32(0))
    # Used, so that this is done before anything is collected.
    valid = learning.valid & ~told.arrived
    must = valid & _is_due(settings, learning)
    open_ = must if settings.wait else valid
    verdicts = show(
        spec.drawing,
        new.state,
        new.valid,
        host,
        like,
        open_,
        must,
        jnp.int32(0),
        always=open_.any(),
    )
    return learning._replace(valid=valid, session=session), verdicts


def _is_due(settings: Settings, learning: Learning) -> Array:
    """Whether the round's answers are used now, whatever it takes; bool."""
    return jnp.bool_(settings.wait) & (learning.age >= settings.lag)


def _sent(learning: Learning, new: Round) -> Learning:
    """The new round in the place of the last, if there is one."""
    begins = new.valid.any()

    def pick(ours: Any, theirs: Any) -> Any:
        return jax.tree.map(lambda a, b: jnp.where(_like(begins, a), a, b), ours, theirs)

    return learning._replace(
        state=pick(new.state, learning.state),
        features=pick(new.features, learning.features),
        valid=jnp.where(begins, new.valid, learning.valid),
        asked=learning.asked + new.valid.sum(dtype=jnp.int32),
        age=jnp.where(begins, 1, learning.age + 1),
    )


def _like(mask: Array, leaf: Array) -> Array:
    """A scalar mask; `where` takes random keys too, as long as nothing has to be broadcast."""
    return jnp.broadcast_to(mask, leaf.shape)


def _features(obs: Array, leading: int) -> Array:
    """Observations `[..., *O]` as vectors `[..., F]`."""
    return obs.reshape(*obs.shape[:leading], -1).astype(jnp.float32)
