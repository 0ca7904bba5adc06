"""Running statistics against numpy on everything seen so far, and return statistics by a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl import normalise
from jaxrl.types import Transition

GAMMA = 0.9

# Compiled once for all examples: a scan outside of `jit` is compiled at every call.
update_return_stats = jax.jit(normalise.update_return_stats)


def trajectory(reward, terminated=None, truncated=None):
    """The three fields that matter here; a `[T, B]` of flags is False where not given."""
    reward = jnp.asarray(reward, jnp.float32)
    never = jnp.zeros(reward.shape, bool)
    flags = [never if f is None else jnp.asarray(f, bool) for f in (terminated, truncated)]
    nothing = {"obs": (), "action": (), "next_obs": (), "extras": (), "record": None}
    return Transition(reward=reward, terminated=flags[0], truncated=flags[1], **nothing)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 1e3]))
def test_merged_batches_are_the_whole(seed, offset):
    """Far from zero too, where a float32 sum of squares would have lost the variance."""
    rng = np.random.default_rng(seed)
    batches = [(offset + rng.normal(size=(n, 2, 3))).astype(np.float32) for n in (1, 7, 4)]
    stats = normalise.init_stats((3,))
    for batch in batches:
        stats = normalise.update_stats(stats, jnp.asarray(batch))
    everything = np.concatenate([b.reshape(-1, 3) for b in batches]).astype(np.float64)
    np.testing.assert_allclose(stats.mean, everything.mean(0), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(stats.var, everything.var(0), rtol=5e-3)
    assert stats.count == 24


def test_statistics_have_the_shape_of_one_observation():
    stats = normalise.init_stats((10, 10, 4))
    board = jax.random.bernoulli(jax.random.key(0), 0.3, (5, 2, 10, 10, 4))
    stats = normalise.update_stats(stats, board)
    assert stats.mean.shape == stats.var.shape == (10, 10, 4)
    assert stats.mean.dtype == stats.var.dtype == jnp.float32
    # Whatever number of environments they came from, one observation can be normalised.
    assert normalise.normalize(board[0, 0], stats).shape == (10, 10, 4)


def test_a_long_past_outweighs_a_batch():
    """At 10⁹ rows, past what float32 counts one by one, a batch still has its small share."""
    stats = normalise.RunningStats(jnp.float32(0), jnp.float32(1), jnp.float32(1e9))
    after = normalise.update_stats(stats, jnp.full(1024, 10.0))
    assert after.count > stats.count
    np.testing.assert_allclose(after.mean, 10 * 1024 / 1e9, rtol=1e-3)
    np.testing.assert_allclose(after.var, 1, rtol=1e-3)


def test_normalised_data_has_mean_zero_and_deviation_one():
    x = 50 + 7 * jax.random.normal(jax.random.key(0), (500, 3))
    stats = normalise.update_stats(normalise.init_stats((3,)), x)
    scaled = normalise.normalize(x, stats)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(0), 1, rtol=1e-4)


def test_normalize_clips_and_survives_a_constant():
    x = jnp.full((4, 2), 3.0)
    stats = normalise.update_stats(normalise.init_stats((2,)), x)
    np.testing.assert_array_equal(normalise.normalize(x, stats), 0)
    np.testing.assert_array_equal(normalise.normalize(x + 1, stats), 10)
    np.testing.assert_array_equal(normalise.normalize(x - 1, stats, clip=5), -5)


def test_before_any_data_normalising_is_the_identity():
    x = jnp.array([0.5, -3.0])
    np.testing.assert_allclose(normalise.normalize(x, normalise.init_stats((2,))), x, rtol=1e-6)


def test_switched_off_everything_passes_through():
    obs, reward = jnp.ones((2, 3)), jnp.array([100.0])
    assert normalise.update_stats(None, obs) is None
    assert update_return_stats(None, trajectory([[1.0]]), GAMMA) is None
    assert normalise.see(None, obs) is obs
    assert normalise.scale_reward(reward, None) is reward


def loop_returns(rewards, ends, running):
    """Per lane: the return so far within the episode that the reward belongs to."""
    totals, running = [], np.array(running, np.float64)
    for reward, end in zip(rewards, ends, strict=True):
        running = reward + GAMMA * running
        totals.append(running.copy())
        running[end] = 0
    return np.array(totals), running


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_return_statistics_are_the_loop(seed):
    rng = np.random.default_rng(seed)
    stats, running, seen = normalise.init_return_stats(2), np.zeros(2), []
    for _ in range(2):  # a second rollout goes on where the first stopped
        reward = rng.normal(size=(6, 2)).astype(np.float32)
        terminated, truncated = rng.random((2, 6, 2)) < 0.2
        stats = update_return_stats(stats, trajectory(reward, terminated, truncated), GAMMA)
        totals, running = loop_returns(reward, terminated | truncated, running)
        seen.append(totals)
    np.testing.assert_allclose(stats.running, running, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(stats.stats.var, np.concatenate(seen).var(), rtol=1e-3)
    np.testing.assert_allclose(stats.stats.mean, np.concatenate(seen).mean(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["terminated", "truncated"])
def test_last_reward_belongs_to_its_own_episode(kind):
    """`R ← γ R (1 - end) + r` instead would give 100, 100, 1: the death charged to the next."""
    reward, end = [[1.0], [100.0], [1.0]], [[False], [True], [False]]
    stats = update_return_stats(
        normalise.init_return_stats(1), trajectory(reward, **{kind: end}), GAMMA
    )
    own = np.array([1.0, 100.9, 1.0])
    np.testing.assert_allclose(stats.stats.mean, own.mean(), rtol=1e-5)
    np.testing.assert_allclose(stats.stats.var, own.var(), rtol=1e-5)
    np.testing.assert_allclose(stats.running, [1.0])


def test_scaled_rewards_keep_their_sign_and_zero():
    stats = normalise.ReturnStats(
        normalise.RunningStats(jnp.float32(50), jnp.float32(4), jnp.float32(10)), jnp.zeros(1)
    )
    scaled = normalise.scale_reward(jnp.array([-1.0, 0.0, 3.0, 1e6]), stats)
    np.testing.assert_allclose(scaled, [-0.5, 0.0, 1.5, 10.0], rtol=1e-6)
