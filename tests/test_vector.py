"""Stepping: what is kept of an episode's end, and how the next one starts."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import restarts
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
    # A start's, where an episode ended before. Up to rounding: the two are not one computation.
    np.testing.assert_allclose(obs, t.obs, rtol=1e-5, atol=1e-7)


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


@pytest.mark.parametrize(("num_envs", "num_steps", "limit"), [(3, 7, 500), (1, 1, 2), (2, 5, 1)])
def test_episodes_are_counted_across_rollouts(num_envs, num_steps, limit):
    env, params = make("CartPole-v1", max_steps_in_episode=limit)
    venv, (noise, policy) = vectorize(env, num_envs), random_policy(num_envs)
    run = jax.jit(lambda state, key: rollout(venv, params, state, noise, policy, key, num_steps))
    state = venv.reset(jax.random.key(0), params)
    running, length = np.zeros((2, num_envs))
    counts = []
    for key in jax.random.split(jax.random.key(1), 12):
        state, t = run(state, key)
        returns, lengths = [], []
        for reward, ended in zip(t.reward, np.asarray(t.terminated | t.truncated), strict=True):
            running, length = running + np.asarray(reward), length + 1
            returns += list(running[ended])
            lengths += list(length[ended])
            running[ended], length[ended] = 0, 0
        assert float(state.episodes["episode/return"].total) == sum(returns)
        assert float(state.episodes["episode/length"].total) == sum(lengths)
        assert float(state.episodes["episode/length"].count) == len(lengths)
        np.testing.assert_array_equal(state.episode_return, running)
        np.testing.assert_array_equal(state.episode_length, length)
        counts.append(len(lengths))
    if limit == 500:
        assert 0 in counts and max(counts) > 1  # rollouts without an end, and with several


def test_a_reward_that_is_no_number_spoils_its_episode_only():
    env, params = make("CartPole-v1", max_steps_in_episode=4)

    class Broken(type(env)):
        def step_env(self, key, state, action, params):
            obs, state, reward, *rest = super().step_env(key, state, action, params)
            return obs, state, jnp.where(state.theta > 1, jnp.nan, reward), *rest

    venv, (noise, policy) = vectorize(Broken(), 2), random_policy(2)
    state = venv.reset(jax.random.key(0), params)
    tilted = state.env.replace(theta=jnp.array([2.0, 0.0]))  # lane 0 ends in its first step
    run = jax.jit(lambda state, key: rollout(venv, params, state, noise, policy, key, 3))
    state, _ = run(state._replace(env=tilted), jax.random.key(1))
    assert np.isnan(state.episodes["episode/return"].total)
    state, _ = run(state, jax.random.key(2))
    assert np.isfinite(state.episodes["episode/return"].total)


@pytest.mark.parametrize("name", ["CartPole-v1", "CartPoleSwing-v0", "snake-v0", "Acrobot-v1"])
def test_rollouts_can_be_in_double_precision(name):
    with jax.enable_x64():
        env, params = make(name)
        venv = vectorize(env, 4)
        noise = lambda key: jax.random.randint(key, (4,), 0, 2)  # noqa: E731
        state = venv.reset(jax.random.key(0), params)
        after, t = rollout(venv, params, state, noise, lambda obs, a: (a, ()), jax.random.key(1), 3)
        assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(lambda x: x.dtype, state)
        assert t.reward.shape == (3, 4)


def test_a_step_may_see_in_a_narrower_type_than_a_start(monkeypatch):
    env, params = make("MountainCar-v0", max_steps_in_episode=3)

    class Narrow(type(env)):
        def step_env(self, key, state, action, params):
            obs, *rest = super().step_env(key, state, action, params)
            return obs.astype(jnp.bfloat16), *rest

    for ahead in (0, 2**24):
        monkeypatch.setattr(restarts, "STARTS_AHEAD_BYTES", ahead)
        for num_envs in (2, 6):  # drawn ahead if they may be; by need
            state, t = play(Narrow(), params, num_envs=num_envs, num_steps=8)
            assert state.obs.dtype == t.obs.dtype == jnp.float32
            assert t.next_obs.dtype == jnp.bfloat16


def test_starts_drawn_ahead_are_those_drawn_in_the_loop(cartpole, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")  # a CPU draws by need in the loop
    ahead = play(*cartpole)[1]
    monkeypatch.setattr(restarts, "STARTS_AHEAD_BYTES", 0)
    in_loop = play(*cartpole)[1]
    same = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7)  # two programs round apart
    jax.tree.map(same, ahead, in_loop)


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
