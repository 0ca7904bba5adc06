"""Stepping: what is kept of an episode's end, and how the next one starts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import vector
from jaxrl.environment import make
from jaxrl.errors import ConfigError, UnknownNameError
from jaxrl.vector import reset_batch, rollout, vectorize


def random_policy(num_envs):
    def noise(key):
        return jax.random.bernoulli(key, shape=(num_envs,)).astype(jnp.int32)

    return noise, lambda obs, noise: (noise, ())


def play(env, params, *, num_envs=4, num_steps=60, record="nothing", seed=0, **settings):
    venv = vectorize(env, num_envs, **settings)

    @jax.jit
    def run(key):
        key_reset, key_run = jax.random.split(key)
        state = venv.reset(key_reset, params)
        noise, policy = random_policy(num_envs)
        return rollout(venv, params, state, noise, policy, key_run, num_steps, record)

    return run(jax.random.key(seed))


@pytest.fixture(scope="module")
def played(cartpole):
    return play(*cartpole, record="every_step")


def test_next_obs_is_from_before_the_reset(played):
    _, t = played
    ended = np.asarray(t.terminated | t.truncated)
    assert ended.any() and not ended.all()
    following, led_to = np.asarray(t.obs[1:]), np.asarray(t.next_obs[:-1])
    np.testing.assert_array_equal(following[~ended[:-1]], led_to[~ended[:-1]])
    assert (np.abs(following[ended[:-1]]) <= 0.05).all()  # a start state
    out = np.abs(led_to[ended[:-1]])
    assert ((out[:, 0] > 2.4) | (out[:, 2] > 12 * np.pi / 180)).all()  # a fallen pole


def test_recorded_state_is_the_one_arrived_in(played, cartpole):
    _, t = played
    obs = jax.vmap(jax.vmap(cartpole[0].get_obs))(t.record.state)
    np.testing.assert_array_equal(obs, t.next_obs)


def test_recorded_previous_state_is_the_one_stepped_from(played, cartpole):
    _, t = played
    obs = jax.vmap(jax.vmap(cartpole[0].get_obs))(t.record.previous)
    np.testing.assert_array_equal(obs, t.obs)  # a start's, where an episode ended before


def test_episode_ends_are_gathered(cartpole):
    _, t = play(*cartpole, record="episode_end")
    ended = np.asarray(t.terminated | t.truncated)
    time, lane = np.nonzero(ended)
    kept = min(4, len(time))
    np.testing.assert_array_equal(np.asarray(t.record.time)[:kept], time[:kept])
    np.testing.assert_array_equal(np.asarray(t.record.lane)[:kept], lane[:kept])
    assert int(t.record.valid.sum()) == kept
    np.testing.assert_array_equal(
        np.asarray(t.record.state.theta)[:kept],
        np.asarray(t.next_obs)[time[:kept], lane[:kept], 2],
    )


def test_episode_statistics_are_the_loop(played):
    state, t = played
    ended, reward = np.asarray(t.terminated | t.truncated), np.asarray(t.reward)
    totals, running = [], np.zeros(reward.shape[1])
    for r, e in zip(reward, ended, strict=True):
        running += r
        totals += list(running[e])
        running[e] = 0
    assert float(state.episodes["episode/return"].value) == pytest.approx(np.mean(totals))
    assert float(state.episodes["episode/length"].value) == pytest.approx(np.mean(totals))
    assert float(state.episodes["episode/return"].count) == len(totals)
    np.testing.assert_array_equal(state.episode_return, running)


def test_time_limits_truncate():
    env, params = make("CartPole-v1", max_steps_in_episode=5)
    _, t = play(env, params, num_steps=11)
    assert not t.terminated.any()
    np.testing.assert_array_equal(np.nonzero(np.asarray(t.truncated)[:, 0])[0], [4, 9])


def test_starts_drawn_ahead_are_those_drawn_in_the_loop(cartpole, monkeypatch):
    ahead = play(*cartpole)[1]
    monkeypatch.setattr(vector, "STARTS_AHEAD_BYTES", 0)
    in_loop = play(*cartpole)[1]
    jax.tree.map(np.testing.assert_array_equal, ahead, in_loop)


def test_pooled_starts_come_from_the_pool(cartpole):
    state, t = play(*cartpole, reset="pooled", pool_size=2)
    ended = np.asarray(t.terminated | t.truncated)[:-1]
    starts = np.asarray(t.obs[1:])[ended]
    pool = np.asarray(state.pool[0])
    assert pool.shape == (2, 4)
    assert all((start == pool).all(axis=1).any() for start in starts)
    assert len(np.unique(starts, axis=0)) == 2


def test_pool_is_drawn_anew_for_every_rollout(cartpole):
    env, params = cartpole
    venv = vectorize(env, 2, reset="pooled")
    state = venv.reset(jax.random.key(0), params)
    again = venv.refresh(jax.random.key(1), state, params)
    assert not np.array_equal(state.pool[0], again.pool[0])


def test_lanes_differ(played):
    _, t = played
    obs = np.asarray(t.obs)
    for i in range(4):
        for j in range(i):
            assert not np.array_equal(obs[:, i], obs[:, j])


def test_gymnax_environments_step_too():
    env, params = make("gymnax:CartPole-v1")
    state, t = play(env, params)
    assert t.obs.dtype == jnp.float32 and bool((t.terminated | t.truncated).any())
    assert all(not leaf.weak_type for leaf in jax.tree.leaves(state.env))


def test_own_batch_reset_is_used(cartpole):
    env, params = cartpole
    obs, state = reset_batch(env, jax.random.key(0), params, 7)
    own = env.reset_batch(jax.random.key(0), params, 7)
    np.testing.assert_array_equal(obs, own[0])
    assert state.time.shape == (7,)


def test_bad_sizes_are_refused(cartpole):
    env = cartpole[0]
    with pytest.raises(ConfigError, match="num_envs=0"):
        vectorize(env, 0)
    with pytest.raises(ConfigError, match="pool_size=0"):
        vectorize(env, 2, reset="pooled", pool_size=0)
    with pytest.raises(UnknownNameError, match="fresh"):
        vectorize(env, 2, reset="fersh")
