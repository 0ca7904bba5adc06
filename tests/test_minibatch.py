"""Rows into minibatches, and gradients of minibatches in parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_algorithms import build

from jaxrl import minibatch
from jaxrl.algorithms.pqn import Batch
from jaxrl.types import Mean


@pytest.mark.parametrize(
    ("num_rows", "num_minibatches", "packed"),
    [
        (12, 3, True),
        (2**16, 64, True),
        (3 * 2**15, 2, True),
        (2**18, 4, True),
        (2**18, 4096, False),
    ],
)
def test_every_epoch_sees_every_row_once_and_in_an_order_of_its_own(
    num_rows, num_minibatches, packed, monkeypatch
):
    sorted_pairs = []
    permutation = jax.random.permutation
    monkeypatch.setattr(
        jax.random, "permutation", lambda *args: sorted_pairs.append(1) or permutation(*args)
    )
    rows = np.asarray(minibatch.minibatch_rows(jax.random.key(0), num_rows, num_minibatches, 2))
    assert rows.shape == (2 * num_minibatches, num_rows // num_minibatches)
    epochs = rows.reshape(2, -1)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(num_rows), (2, 1)))
    assert (epochs[0] != epochs[1]).any()
    assert bool(sorted_pairs) != packed


def test_a_minibatch_of_a_long_shuffle_is_a_fair_sample():
    """262,144 rows leave 14 random bits to sort by: is still each row as likely as any other?"""
    size, groups = 2**18, 16
    rows = minibatch.minibatch_rows(jax.random.key(1), size, 4, 4).reshape(4, 4, -1)
    counts = np.stack([np.bincount(r // (size // groups), minlength=groups) for r in rows[:, 0]])
    expected = size / 4 / groups
    # A count of a draw without replacement has a deviation of √(expected · ¾ · 15/16), about 54.
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected * 0.75)
    assert np.abs(counts - expected).max() > 0
    # Neighbours in the trajectory are no likelier to be in the same minibatch than others.
    together = np.empty((4, size), int)
    for epoch, minibatches in enumerate(np.asarray(rows)):
        for number, those in enumerate(minibatches):
            together[epoch, those] = number
    share = (together[:, 1:] == together[:, :-1]).mean()
    assert share == pytest.approx(0.25, abs=5 * np.sqrt(0.25 * 0.75 / (4 * size)))


def loss_fn(params, batch, scale):
    error = batch.obs @ params["w"] - batch.target
    if batch.weight is None:
        loss = jnp.square(error).mean()
    else:
        loss = (batch.weight * jnp.square(error)).sum() / jnp.maximum(batch.weight.sum(), 1)
    return scale * loss, {"loss/value": Mean.of(scale * loss)}


@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_in_parts_are_those_of_the_whole(weighted, monkeypatch):
    obs, target = jax.random.normal(jax.random.key(2), (2, 24, 3))
    # The third part of four has no row that counts.
    weight = jnp.ones(24).at[12:18].set(0).at[::5].set(0) if weighted else None
    batch = Batch(obs, jnp.zeros(24), target[:, 0], weight)
    params = {"w": jnp.array([0.3, -0.2, 0.5]), "step": jnp.float32(0)}

    def ours(params):
        return minibatch.mean_gradient(loss_fn, params, batch, 2.0)

    whole = jax.grad(loss_fn, has_aux=True)(params, batch, 2.0)
    monkeypatch.setattr(minibatch, "CACHED", 18)
    assert "scan" in str(jax.make_jaxpr(ours)(params))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), ours(params), whole
    )


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("name", ["ppo", "trpo", "pqn"])
def test_an_update_in_parts_is_the_one_in_one_piece(name, missing, cartpole, monkeypatch):
    """Its metrics too, and where PPO stops: at a KL of rows whose reward is known."""
    changes = dict(target_kl=1e-5) if name == "ppo" else {}
    algorithm = build(name, cartpole[0], **changes)
    state = jax.jit(algorithm.init)(jax.random.key(0), cartpole[1], 10)
    state, trajectory = jax.jit(algorithm.collect)(state)
    if missing:
        labelled = jax.random.bernoulli(jax.random.key(3), 0.9, trajectory.reward.shape)
        trajectory = trajectory._replace(labelled=labelled)
    whole = jax.jit(algorithm.learn)(state, trajectory)
    monkeypatch.setattr(minibatch, "CACHED", 16 * 16)  # 16 rows of 16 units
    # A function of its own: jax would not trace the same one again.
    parts = jax.jit(lambda *args: algorithm.learn(*args))(state, trajectory)
    for a, b in zip(jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)


def test_parts_are_equal_and_not_far_smaller_than_a_cache():
    params = {"w": jnp.ones((4, 64))}
    assert minibatch._num_parts(params, 12, 12) == 1
    assert minibatch._num_parts(params, 2**20, 2**20) == 256
    assert minibatch._num_parts(params, 2**20, 3) == 3  # no more than there is to cut
    assert minibatch._num_parts(params, 2 * 4099, 2 * 4099) == 1  # not 4099 parts of two rows
    assert minibatch._num_parts({"w": jnp.ones((28224, 64))}, 1024, 1024) == 1  # only read
    assert minibatch._num_parts({"w": jnp.ones((3, 3, 4, 16))}, 2**20, 2**20) == 1  # a convolution


def test_an_accelerator_takes_a_batch_whole(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert minibatch._num_parts({"w": jnp.ones((4, 64))}, 2**20, 2**20) == 1
