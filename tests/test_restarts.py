"""How the starts of episodes are drawn: by need on a CPU, ahead where they cost nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import DelayedReward

from jaxrl import vector
from jaxrl.environment import make
from jaxrl.restarts import FEWEST_STARTS, MANY_LANES, SHARE_OF_STARTS, by_need, is_cheap
from jaxrl.vector import rollout, vectorize
from jaxrl.wrappers import FrameStack, StickyActions


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 1.0])
@pytest.mark.parametrize("num_envs", [1, 7, 50, 400])
def test_each_ended_lane_has_a_start_of_its_own(num_envs, share):
    ended = np.random.default_rng(0).random(num_envs) < share
    at_once = min(num_envs, max(FEWEST_STARTS, num_envs // SHARE_OF_STARTS))
    rounds = []

    def draw(key, count):
        jax.debug.callback(lambda: rounds.append(count))
        return jax.random.uniform(key, (count,)), {"x": jax.random.uniform(key, (count, 2))}

    after = (jnp.full(num_envs, 9.0), {"x": jnp.full((num_envs, 2), 9.0)})
    obs, state = by_need(draw, jax.random.key(0))(jnp.asarray(ended), after)
    jax.effects_barrier()
    assert rounds == [at_once] * -(-ended.sum() // at_once)
    assert (np.asarray(obs)[~ended] == 9).all() and (np.asarray(state["x"])[~ended] == 9).all()
    assert len(np.unique(np.asarray(obs)[ended])) == ended.sum()
    assert (np.asarray(obs)[ended] < 1).all() and (np.asarray(state["x"])[ended] < 1).all()


def test_a_vmap_changes_nothing():
    ended = jnp.asarray(np.random.default_rng(0).random((3, 40)) < [[0.0], [0.3], [1.0]])

    def one(key, ended):
        draw = lambda key, count: jax.random.normal(key, (count, 4))  # noqa: E731
        return by_need(draw, key)(ended, jnp.zeros((40, 4)))

    keys = jax.random.split(jax.random.key(0), 3)
    alone = [one(*args) for args in zip(keys, ended, strict=True)]
    np.testing.assert_array_equal(jax.vmap(one)(keys, ended), jnp.stack(alone))


def test_states_may_hold_random_keys():
    keys = jax.random.split(jax.random.key(0), 4)
    restart = by_need(jax.random.split, jax.random.key(1))
    after = jax.jit(restart)(jnp.array([False, True, False, True]), keys)
    same = (jax.random.key_data(after) == jax.random.key_data(keys)).all(-1)
    np.testing.assert_array_equal(same, [True, False, True, False])


def test_cheap_are_those_of_one_draw_and_of_few_lanes():
    ours, theirs = make("CartPole-v1")[0], make("gymnax:CartPole-v1")[0]
    assert is_cheap(ours, 64) and is_cheap(StickyActions(ours), 64)
    assert not is_cheap(ours, MANY_LANES) and not is_cheap(StickyActions(ours), MANY_LANES)
    for env in (theirs, StickyActions(theirs), DelayedReward(), FrameStack(DelayedReward())):
        assert not is_cheap(env, 64) and is_cheap(env, 2)
    host = DelayedReward()
    host.on_host = True
    assert not is_cheap(host, 1) and not is_cheap(StickyActions(host), 1)
    asking = StickyActions(ours)
    asking.on_host = True
    assert not is_cheap(asking, 64)


def is_by_need(name, num_envs, monkeypatch, num_steps=5, **settings):
    """Whether a rollout draws its starts by need."""
    asked = []
    monkeypatch.setattr(vector, "by_need", lambda *args: asked.append(args) or by_need(*args))
    env, params = make(name, **settings)
    venv = vectorize(env, num_envs)
    state = jax.eval_shape(venv.reset, jax.random.key(0), params)
    noise = lambda key: jax.random.randint(key, (num_envs,), 0, 2)  # noqa: E731
    run = lambda state, key: rollout(  # noqa: E731
        venv, params, state, noise, lambda obs, action: (action, ()), key, num_steps
    )
    jax.eval_shape(run, state, jax.random.key(0))
    return bool(asked)


def test_a_rollout_draws_ahead_what_costs_next_to_nothing(monkeypatch):
    for name, num_envs, num_steps, expected in (
        ("CartPole-v1", 4, 5, False),
        ("CartPole-v1", 1023, 5, False),
        ("CartPole-v1", 1024, 5, True),  # many: a few by need take no longer
        ("CartPole-v1", 512, 2048, True),  # too much memory
        ("gymnax:CartPole-v1", 4, 5, True),  # a key for each lane
        ("gymnax:CartPole-v1", 1, 5, False),
        ("RobotMaze-v0", 1, 5, True),  # large, and dear
    ):
        assert is_by_need(name, num_envs, monkeypatch, num_steps) is expected, name


def test_on_other_devices_all_lanes_draw(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not is_by_need("RobotMaze-v0", 4, monkeypatch)
    assert not is_by_need("RobotMaze-v0", 2048, monkeypatch, 2048)


def test_lanes_of_dear_starts_restart_as_they_should():
    env, params = make("RobotMaze-v0")
    venv = vectorize(env, 20)
    noise = lambda key: jax.random.randint(key, (20,), 0, 4)  # noqa: E731

    @jax.jit
    def run(key):
        state = venv.reset(key, params)
        policy = lambda obs, action: (action, ())  # noqa: E731
        return rollout(venv, params, state, noise, policy, key, 130)

    state, t = run(jax.random.key(0))
    time, lane = np.nonzero(np.asarray(t.terminated | t.truncated)[:-1])
    obs = np.asarray(t.obs)
    assert len(time) >= 19  # the battery lasts 121 steps
    assert (obs[time + 1, lane][:, 1, 1, 3] == 1).all()  # where a robot starts
    walls, mazes = obs[..., 0], np.asarray(state.env.walls)
    assert all((walls[t + 1, b] != walls[t, b]).any() for t, b in zip(time, lane, strict=True))
    assert len(np.unique(mazes, axis=0)) == 20
    went_on = ~np.asarray(t.terminated | t.truncated)[:-1]
    np.testing.assert_array_equal(walls[1:][went_on], walls[:-1][went_on])


def test_hosts_environments_restart_by_need_under_several_seeds():
    """A call of the host may not stand in a loop whose length differs by seed."""
    pytest.importorskip("gymnasium")
    env, params = make("gymnasium:CartPole-v1")
    stacked = FrameStack(env, 8)
    venv = vectorize(stacked, 3)
    noise = lambda key: jax.random.randint(key, (3,), 0, 2)  # noqa: E731

    @jax.jit
    @jax.vmap
    def run(key):
        state = venv.reset(key, params)
        policy = lambda obs, action: (action, ())  # noqa: E731
        return rollout(venv, params, state, noise, policy, key, 40)

    state, t = run(jax.random.split(jax.random.key(0), 2))
    ended = np.asarray(t.terminated | t.truncated)
    counts = np.asarray(state.episodes["episode/length"].count)
    np.testing.assert_array_equal(counts, ended.sum((1, 2)))
    seed, time, lane = np.nonzero(ended[:, :-1])
    assert len(np.unique(seed)) == 2
    # A new stack has one observation in all its places: that of a start, and each its own.
    starts = np.asarray(t.obs)[seed, time + 1, lane].reshape(len(seed), 8, 4)
    assert (starts == starts[:, :1]).all() and (abs(starts) <= 0.05).all()
    assert len(np.unique(starts[:, 0], axis=0)) == len(seed)
    env.close()
