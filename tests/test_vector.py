"""Stepping: what is kept of an episode's end, and how the next one starts."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import vector
from jaxrl.environment import make
from jaxrl.errors import ConfigError, UnknownNameError
from jaxrl.vector import FEWEST_STARTS, by_need, reset_batch, rollout, vectorize
from jaxrl.wrappers import StickyActions


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


def test_episodes_are_counted_across_rollouts(cartpole):
    env, params = cartpole
    venv, (noise, policy) = vectorize(env, 3), random_policy(3)
    run = jax.jit(lambda state, key: rollout(venv, params, state, noise, policy, key, 7))
    state, running, length = venv.reset(jax.random.key(0), params), np.zeros(3), np.zeros(3)
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
    assert 0 in counts and max(counts) > 1  # rollouts without an end, and with several


def test_starts_drawn_ahead_are_those_drawn_in_the_loop(cartpole, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")  # a CPU draws by need in the loop
    ahead = play(*cartpole)[1]
    monkeypatch.setattr(vector, "STARTS_AHEAD_BYTES", 0)
    in_loop = play(*cartpole)[1]
    same = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7)  # two programs round apart
    jax.tree.map(same, ahead, in_loop)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 1.0])
def test_by_need_each_ended_lane_has_a_start_of_its_own(share):
    ended = np.random.default_rng(0).random(50) < share
    draws = []

    def draw(key, count):
        draws.append(count)
        return jax.random.uniform(key, (count,)), {"x": jax.random.uniform(key, (count, 2))}

    after = (jnp.full(50, 9.0), {"x": jnp.full((50, 2), 9.0)})
    obs, state = by_need(draw, jax.random.key(0))(jnp.asarray(ended), after)
    assert draws == [FEWEST_STARTS]  # traced once, some lanes at a time
    assert (np.asarray(obs)[~ended] == 9).all() and (np.asarray(state["x"])[~ended] == 9).all()
    assert len(np.unique(np.asarray(obs)[ended])) == ended.sum()
    assert (np.asarray(obs)[ended] < 1).all() and (np.asarray(state["x"])[ended] < 1).all()


def test_by_need_a_vmap_changes_nothing():
    ended = jnp.asarray(np.random.default_rng(0).random((3, 40)) < [[0.0], [0.3], [1.0]])

    def one(key, ended):
        draw = lambda key, count: jax.random.normal(key, (count, 4))  # noqa: E731
        return by_need(draw, key)(ended, jnp.zeros((40, 4)))

    keys = jax.random.split(jax.random.key(0), 3)
    alone = [one(*args) for args in zip(keys, ended, strict=True)]
    np.testing.assert_array_equal(jax.vmap(one)(keys, ended), jnp.stack(alone))


def test_by_need_states_may_hold_random_keys():
    keys = jax.random.split(jax.random.key(0), 4)
    restart = by_need(jax.random.split, jax.random.key(1))
    after = jax.jit(restart)(jnp.array([False, True, False, True]), keys)
    same = (jax.random.key_data(after) == jax.random.key_data(keys)).all(-1)
    np.testing.assert_array_equal(same, [True, False, True, False])


def test_starts_are_drawn_by_need_where_they_are_dear(cartpole):
    maze, params = make("RobotMaze-v0")
    state, t = play(maze, params, num_envs=20, num_steps=130)
    ended = np.asarray(t.terminated | t.truncated)
    assert "scatter" in traced(maze, params) and ended.any()
    for mazes in (np.asarray(state.env.walls), np.asarray(t.obs)[0, ..., 0]):
        assert len(np.unique(mazes, axis=0)) == 20
    time, lane = np.nonzero(ended[:-1])
    walls = np.asarray(t.obs)[..., 0]
    assert all((walls[t + 1, b] != walls[t, b]).any() for t, b in zip(time, lane, strict=True))
    assert (np.asarray(t.obs)[time + 1, lane][..., 1, 1, 3] == 1).all()  # at the start


def test_starts_are_drawn_ahead_where_they_cost_next_to_nothing(cartpole):
    """Only by need is a state written lane by lane."""
    env, params = cartpole
    assert "scatter" not in traced(env, params)
    assert "scatter" not in traced(StickyActions(env), params)
    keyed, params = make("gymnax:CartPole-v1")  # needs a key for each lane
    assert "scatter" in traced(keyed, params)
    assert "scatter" in traced(StickyActions(keyed), params)


def traced(env, params):
    """The program of a rollout, as text."""
    venv, (noise, policy) = vectorize(env, 4), random_policy(4)
    state = jax.eval_shape(venv.reset, jax.random.key(0), params)
    run = lambda state, key: rollout(venv, params, state, noise, policy, key, 5)  # noqa: E731
    return str(jax.make_jaxpr(run)(state, jax.random.key(0)))


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
