"""Whole episodes: against stepping by hand, and the loop that stops when the last one ends."""

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

from jaxrl.episodes import BLOCK, count_steps, rollout_episodes
from jaxrl.errors import ConfigError
from jaxrl.vector import reset_batch

LANES = 6


def play(env, params, key, max_steps=500, **settings):
    """Episodes of a policy that pushes to where the pole tilts, with some noise."""
    key_start, key_play = jax.random.split(key)

    def noise(key):
        return jax.random.normal(key, (LANES,))

    def policy(obs, noise):
        return (obs[:, 2] + 0.1 * noise > 0).astype(jnp.int32), noise

    starts = reset_batch(env, key_start, params, LANES)
    return rollout_episodes(env, params, starts, noise, policy, key_play, max_steps, **settings)


@pytest.fixture(scope="module")
def played(cartpole):
    """Three seeds of episodes with all their states, compiled once."""
    env, params = cartpole
    keys = jax.random.split(jax.random.key(0), 3)
    run = jax.jit(lambda keys: jax.vmap(lambda k: play(env, params, k, record="every_step"))(keys))
    return run(keys), keys


def test_every_lane_plays_one_episode_to_its_end(played):
    (trajectory, episodes, num_steps), _ = played
    assert trajectory.reward.shape[1] % BLOCK == 0 and trajectory.reward.shape[1] >= 500
    lengths = np.asarray(trajectory.valid.sum(1))
    ends = np.asarray(trajectory.terminated | trajectory.truncated)
    assert (ends.sum(1) == 1).all()
    np.testing.assert_array_equal(ends.argmax(1), lengths - 1)
    np.testing.assert_array_equal(np.asarray(trajectory.valid[:, 0]), True)
    # Valid rows come first, and nothing is on the others.
    assert (np.diff(np.asarray(trajectory.valid).astype(int), axis=1) <= 0).all()
    assert not np.asarray(trajectory.reward)[~np.asarray(trajectory.valid)].any()
    np.testing.assert_array_equal(np.asarray(trajectory.reward.sum(1)), lengths)
    np.testing.assert_array_equal(num_steps, lengths.sum(1))
    np.testing.assert_allclose(episodes["episode/length"].value, lengths.mean(1), rtol=1e-6)
    np.testing.assert_allclose(episodes["episode/return"].value, lengths.mean(1), rtol=1e-6)


def test_rows_are_the_environments_own_steps(played, cartpole):
    env, params = cartpole
    trajectory, valid = played[0].trajectory, np.asarray(played[0].trajectory.valid)
    states = trajectory.record.state
    before = jax.tree.map(lambda x: x[:, :-1][valid[:, 1:]], states)
    action = trajectory.action[:, 1:][valid[:, 1:]]
    step = jax.jit(jax.vmap(lambda s, a: env.step_env(jax.random.key(0), s, a, params)))
    obs, _, reward, terminated, _ = step(before, action)
    for given, needed in (
        (trajectory.next_obs, obs),
        (trajectory.reward, reward),
        (trajectory.terminated, terminated),
    ):
        np.testing.assert_allclose(given[:, 1:][valid[:, 1:]], needed, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(
        trajectory.obs[:, 1:][valid[:, 1:]], trajectory.next_obs[:, :-1][valid[:, 1:]]
    )


@pytest.mark.exact
def test_seed_alone_is_seed_in_batch(played, cartpole):
    """A seed whose episodes end early waits for the others, and that changes nothing in its own."""
    together, keys = played
    alone = jax.jit(lambda k: play(*cartpole, k, record="every_step"))(keys[1])
    valid = np.asarray(alone.trajectory.valid)
    np.testing.assert_array_equal(valid, together.trajectory.valid[1])
    for a, b in zip(
        jax.tree.leaves(alone.trajectory), jax.tree.leaves(together.trajectory), strict=True
    ):
        np.testing.assert_allclose(
            np.asarray(a)[valid], np.asarray(b[1])[valid], rtol=1e-5, atol=1e-6
        )


def test_stops_with_the_block_in_which_the_last_episode_ends(played):
    trajectory = played[0].trajectory
    last = int(np.asarray(trajectory.valid.sum(1)).max())
    played_rows = -(-last // BLOCK) * BLOCK
    noise = np.asarray(trajectory.extras)
    assert noise[:, :played_rows].all() and not noise[:, played_rows:].any()


def test_a_bound_truncates_and_keeps_the_last_states(cartpole):
    trajectory, episodes, num_steps = play(
        *cartpole, jax.random.key(1), max_steps=5, record="episode_end"
    )
    assert trajectory.reward.shape == (5, LANES)
    assert trajectory.truncated[-1].all() and not trajectory.terminated.any()
    assert int(num_steps) == 5 * LANES and float(episodes["episode/length"].value) == 5
    record = trajectory.record
    np.testing.assert_array_equal(record.time, 4)
    np.testing.assert_array_equal(record.state.x, trajectory.next_obs[4, :, 0])
    assert record.valid.all()


def test_a_time_limit_is_no_death():
    env = probes.Truncation()
    trajectory = play_probe(env)
    assert trajectory.truncated[9].all() and not trajectory.terminated.any()
    assert int(trajectory.valid.sum()) == 10 * LANES


def play_probe(env):
    def policy(obs, noise):
        return jnp.ones(LANES, jnp.int32), noise

    starts = reset_batch(env, jax.random.key(0), env.default_params, LANES)
    return rollout_episodes(
        env,
        env.default_params,
        starts,
        lambda key: jnp.zeros(LANES),
        policy,
        jax.random.key(1),
        10,
    ).trajectory


def test_idle_lanes_play_nothing(cartpole):
    running = jnp.arange(LANES) < 2
    trajectory, episodes, num_steps = play(
        *cartpole, jax.random.key(2), max_steps=8, running=running, record="episode_end"
    )
    assert not trajectory.valid[:, 2:].any() and trajectory.valid[0, :2].all()
    assert int(num_steps) == int(trajectory.valid.sum())
    assert float(episodes["episode/return"].count) == 2
    np.testing.assert_array_equal(trajectory.record.valid, running)


def test_a_run_of_more_steps_than_can_be_counted_is_refused():
    with pytest.raises(ConfigError, match="steps per seed"):
        count_steps(2**20, 2**12)
    assert int(count_steps(8, 3).per_update) == 8
