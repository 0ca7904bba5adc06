"""A small ensemble that learns from a model's labels what a state is worth.

Each member is a network with two hidden layers from the features of a state (its observation, or
whatever it is trained on) to one number. Labels are absolute, and the loss is half the squared
error; or pairwise, and the loss is the cross-entropy of Bradley and Terry's model (1952; Christiano
et al. 2017, arXiv:1706.03741),

    P(first better than second) = σ(r(first) - r(second)).

Pairs fix rewards only up to a shift and a scale: what is given out is standardised over the
buffer. Absolute labels are learned without their mean and deviation, which are put back. Members
differ in their start and in what they see: each label counts for each member with a weight of its
own, drawn from Exp(1) (the Bayesian bootstrap, Rubin 1981). Their spread says where nobody has been
asked yet.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrl.types import Array, Key, PyTree

Labels = Literal["absolute", "pairwise"]

MEMBERS = 3
HIDDEN = 64
LEARNING_RATE = 3e-3
BATCH = 64


class Buffer(NamedTuple):
    """Labelled questions, the first `count` of `L`.

    Attributes:
        features: `[L, G, F]`, of the one frame or the two that a question is about.
        label: float32 `[L]`: a value, or the share of the preference that the first has.
        weight: of each label for each member, float32 `[L, MEMBERS]`.
        count: int32.
    """

    features: Array
    label: Array
    weight: Array
    count: Array


class Ensemble(NamedTuple):
    """A reward model in training.

    Attributes:
        params: of all members, leading axis `[MEMBERS]`.
        opt_state: Adam's.
        mean, deviation: of the features, `[F]`, over the buffer.
        shift, scale: `(output - shift) / scale` is the reward.
        trained: whether it has been trained at all.
    """

    params: PyTree
    opt_state: PyTree
    mean: Array
    deviation: Array
    shift: Array
    scale: Array
    trained: Array


def empty(size: int, frames: int, features: int) -> Buffer:
    """A buffer for `size` questions about `frames` frames each."""
    return Buffer(
        jnp.zeros((size, frames, features)),
        jnp.zeros(size),
        jnp.zeros((size, MEMBERS)),
        jnp.int32(0),
    )


def append(buffer: Buffer, features: Array, label: Array, ok: Array, key: Key) -> Buffer:
    """The buffer with those questions `[P]` that have a label, as far as there is room."""
    size = buffer.label.shape[0]
    # An index beyond the end is dropped.
    at = jnp.where(ok, buffer.count + jnp.cumsum(ok) - 1, size)
    weight = jax.random.exponential(key, (ok.shape[0], MEMBERS))
    return Buffer(
        buffer.features.at[at].set(features, mode="drop"),
        buffer.label.at[at].set(label, mode="drop"),
        buffer.weight.at[at].set(weight, mode="drop"),
        jnp.minimum(buffer.count + ok.sum(dtype=jnp.int32), size),
    )


def init(key: Key, features: int) -> Ensemble:
    """An ensemble that has learned nothing."""

    def member(key: Key) -> PyTree:
        widths = (features, HIDDEN, HIDDEN, 1)
        layers = zip(jax.random.split(key, 3), widths, widths[1:], strict=False)
        normal = jax.nn.initializers.he_normal()
        return [(normal(k, (i, o)), jnp.zeros(o)) for k, i, o in layers]

    params = jax.vmap(member)(jax.random.split(key, MEMBERS))
    return Ensemble(
        params=params,
        opt_state=optax.adam(LEARNING_RATE).init(params),
        mean=jnp.zeros(features),
        deviation=jnp.ones(features),
        shift=jnp.float32(0),
        scale=jnp.float32(1),
        trained=jnp.bool_(False),
    )


def score(ensemble: Ensemble, features: Array) -> Array:
    """What each member thinks, `[MEMBERS, ...]`, of features `[..., F]`."""
    raw = _outputs(ensemble.params, _normal(ensemble, features))
    return (raw - ensemble.shift) / ensemble.scale


def loss(params: PyTree, features: Array, label: Array, weight: Array, labels: Labels) -> Array:
    """The mean loss of a batch, summed over members. Scalar.

    Args:
        params: `[MEMBERS, ...]`.
        features: `[N, G, F]`, normalised.
        label: `[N]`.
        weight: `[N, MEMBERS]`.
        labels: which loss.
    """
    outputs = _outputs(params, features)  # [MEMBERS, N, G]
    if labels == "pairwise":
        difference = outputs[..., 0] - outputs[..., 1]
        each = optax.sigmoid_binary_cross_entropy(difference, label)
    else:
        each = 0.5 * jnp.square(outputs[..., 0] - label)
    return (each * weight.T).mean(1).sum()


def fit(ensemble: Ensemble, buffer: Buffer, key: Key, steps: int, labels: Labels) -> Ensemble:
    """`steps` of Adam on batches drawn from the buffer, going on from where it was."""
    rows = jnp.arange(buffer.label.shape[0]) < buffer.count
    there = rows[:, None, None]
    frames = jnp.maximum(buffer.count, 1) * buffer.features.shape[1]
    mean = jnp.where(there, buffer.features, 0.0).sum((0, 1)) / frames
    centred = jnp.where(there, buffer.features - mean, 0.0)
    deviation = jnp.sqrt(jnp.square(centred).sum((0, 1)) / frames)
    # A feature that never varied says nothing, and must not explode when it does.
    ensemble = ensemble._replace(mean=mean, deviation=jnp.where(deviation > 1e-6, deviation, 1.0))
    features = _normal(ensemble, buffer.features)
    middle, spread = _of_labels(buffer) if labels == "absolute" else (0.0, 1.0)
    label = (buffer.label - middle) / spread
    optimizer = optax.adam(LEARNING_RATE)

    def step(i: Array, carry: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
        params, opt_state = carry
        drawn = jax.random.randint(
            jax.random.fold_in(key, i), (BATCH,), 0, jnp.maximum(buffer.count, 1)
        )
        batch = (features[drawn], label[drawn], buffer.weight[drawn])
        grads = jax.grad(loss)(params, *batch, labels)
        updates, opt_state = optimizer.update(grads, opt_state)
        return optax.apply_updates(params, updates), opt_state

    params, opt_state = jax.lax.fori_loop(0, steps, step, (ensemble.params, ensemble.opt_state))
    ensemble = ensemble._replace(params=params, opt_state=opt_state, trained=jnp.bool_(True))
    if labels == "absolute":
        return ensemble._replace(shift=-middle / spread, scale=1 / spread)
    outputs = _outputs(params, features).mean(0)
    counted = jnp.broadcast_to(rows[:, None], outputs.shape)
    shift = outputs.mean(where=counted)
    scale = jnp.maximum(outputs.std(where=counted), 1e-6)
    return ensemble._replace(shift=shift, scale=scale)


def _of_labels(buffer: Buffer) -> tuple[Array, Array]:
    """Mean and deviation of the labels, which the outputs are trained without."""
    rows = jnp.arange(buffer.label.shape[0]) < buffer.count
    total = jnp.maximum(buffer.count, 1)
    mean = jnp.where(rows, buffer.label, 0.0).sum() / total
    variance = jnp.where(rows, jnp.square(buffer.label - mean), 0.0).sum() / total
    return mean, jnp.maximum(jnp.sqrt(variance), 1e-6)


def _normal(ensemble: Ensemble, features: Array) -> Array:
    return jnp.clip((features - ensemble.mean) / ensemble.deviation, -10.0, 10.0)


def _outputs(params: PyTree, features: Array) -> Array:
    """`[MEMBERS, ...]` of features `[..., F]`."""

    def member(layers: PyTree) -> Array:
        x = features
        for weight, bias in layers[:-1]:
            x = jax.nn.silu(x @ weight + bias)
        weight, bias = layers[-1]
        return (x @ weight + bias)[..., 0]

    return jax.vmap(member)(params)
