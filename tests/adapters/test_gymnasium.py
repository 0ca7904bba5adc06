"""Our environments as Gymnasium's."""

import sys
from functools import partial

import gymnasium
import jax
import numpy as np
import probes
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from gymnasium.vector import AutoresetMode

from jaxrl import make
from jaxrl.adapters.gymnasium import to_gymnasium, to_gymnasium_vector, to_space
from jaxrl.errors import ConfigError, MissingExtraError, SpaceError


def balance(obs):
    """A policy for CartPole."""
    return int(obs[2] + 0.3 * obs[3] + 0.02 * obs[0] + 0.05 * obs[1] > 0)


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_gymnasium_accepts_our_environments(name, recwarn):
    env, params = make(name)
    bridged = to_gymnasium(env, params, render_mode="rgb_array", height=20, width=30)
    gymnasium_check(bridged, skip_render_check=True)
    obs, _ = bridged.reset(seed=1)
    assert bridged.observation_space.contains(obs)
    assert bridged.render().shape == (20, 30, 3)
    # What it may say is that there is no spec to make the environment anew from, and that
    # observations beyond float32's largest number are not to be expected.
    allowed = ("spec", "render_mode", "not symmetric", "normalize")
    said = [str(w.message) for w in recwarn if "gymnasium" in w.filename.lower()]
    assert all(any(word in text for word in allowed) for text in said), said


def test_a_bridged_episode_is_ours():
    env, params = make("CartPole-v1", max_steps_in_episode=12)
    bridged = to_gymnasium(env, params)
    obs, _ = bridged.reset(seed=3)
    again, _ = to_gymnasium(env, params).reset(seed=3)
    np.testing.assert_array_equal(obs, again)
    assert not np.array_equal(bridged.reset()[0], obs)  # goes on, unseeded
    step, state = jax.jit(env.step_env), bridged._state
    for _ in range(12):
        action = balance(obs)
        ours, state, reward, terminated, _ = step(jax.random.key(0), state, action, params)
        obs, paid, ended, cut, info = bridged.step(action)
        np.testing.assert_allclose(obs, ours, rtol=1e-4, atol=1e-6)
        assert (paid, ended, info) == (float(reward), bool(terminated), {})
    assert cut and not ended and isinstance(paid, float)
    assert bridged.render() is None
    with pytest.raises(ConfigError, match="action=2 of CartPole-v1: needed is one of 0 to 1"):
        bridged.step(2)


def test_lanes_restart_in_the_same_step_and_keep_their_last_observation():
    env, params = make("CartPole-v1", max_steps_in_episode=5)
    lanes = to_gymnasium_vector(env, 3, params, render_mode="rgb_array", height=16, width=20)
    assert lanes.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    obs, _ = lanes.reset(seed=2)
    assert lanes.observation_space.contains(obs) and len(lanes.render()) == 3
    for time in range(1, 11):
        before = obs
        obs, reward, terminated, truncated, infos = lanes.step(np.zeros(3, np.int64))
        assert reward.dtype == np.float64 and (reward == 1).all() and not terminated.any()
        assert truncated.all() == truncated.any() == (time % 5 == 0)
        assert ("final_obs" in infos) == truncated.any()
        if truncated.any():
            assert infos["_final_obs"].all() and infos["final_obs"].shape == (3,)
            # The last observation is a step on from the one before; the new one is a start.
            assert (infos["final_obs"][0][1] < before[0][1]) and (np.abs(obs) <= 0.05).all()
    np.testing.assert_array_equal(lanes.reset(seed=2)[0], lanes.reset(seed=2)[0])
    with pytest.raises(ConfigError, match="one seed, give a number"):
        lanes.reset(seed=[1, 2, 3])


def test_lanes_work_under_gymnasiums_own_statistics():
    env, params = make("CartPole-v1", max_steps_in_episode=4)
    lanes = gymnasium.wrappers.vector.RecordEpisodeStatistics(to_gymnasium_vector(env, 2, params))
    lanes.reset(seed=0)
    for _ in range(4):
        infos = lanes.step(np.zeros(2, np.int64))[-1]
    assert infos["episode"]["r"].tolist() == [4, 4]


def test_spaces():
    box = to_space(make("Pendulum-v1")[0].action_space())
    assert isinstance(box, gymnasium.spaces.Box) and box.shape == (1,) and box.dtype == np.float32
    assert to_space(make("snake-v0")[0].action_space()) == gymnasium.spaces.Discrete(4)
    from gymnax.environments import spaces

    tree = to_space(spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Tuple([spaces.Discrete(3)])}))
    assert tree["b"][0] == gymnasium.spaces.Discrete(3)
    with pytest.raises(SpaceError, match="no counterpart"):
        to_space(object())


def test_render_modes_that_it_does_not_have():
    with pytest.raises(ConfigError, match=r"render_mode='human' of CartPole-v1: .*rgb_array"):
        to_gymnasium(make("CartPole-v1")[0], render_mode="human")
    with pytest.raises(ConfigError, match=r"one of \[\] or None"):
        to_gymnasium(probes.ConstantReward(), render_mode="rgb_array")


def test_pictures_that_are_too_small():
    with pytest.raises(ConfigError, match="height=15 is out of range"):
        to_gymnasium(make("CartPole-v1")[0], render_mode="rgb_array", height=15)


def test_there_is_nothing_to_step_or_to_draw_before_a_reset():
    env = make("CartPole-v1")[0]
    for bridged in (to_gymnasium(env, render_mode="rgb_array"), to_gymnasium_vector(env, 2)):
        with pytest.raises(gymnasium.error.ResetNeeded, match="CartPole-v1 has no episode"):
            bridged.step(0)
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset first"):
        to_gymnasium(env, render_mode="rgb_array").render()


@pytest.mark.parametrize(
    ("name", "action", "said"),
    [
        ("CartPole-v1", [0, 2], "needed is one of 0 to 1, of shape"),
        ("CartPole-v1", [0, 1, 1], r"needed is one of 0 to 1, of shape \(2,\)"),
        ("CartPole-v1", 1, r"of shape \(2,\)"),
        ("CartPole-v1", ["left", "left"], "needed is one of 0 to 1"),
        ("Pendulum-v1", [[0.0], [np.nan]], r"needed is finite numbers, of shape \(2, 1\)"),
        ("Pendulum-v1", [0.0, 0.5], r"of shape \(2, 1\)"),
    ],
)
def test_actions_of_lanes_that_do_not_exist(name, action, said):
    lanes = to_gymnasium_vector(make(name)[0], 2)
    lanes.reset(seed=0)
    with pytest.raises(ConfigError, match=said):
        lanes.step(action)


def test_a_missing_gymnasium_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    for bridge in (to_space, partial(to_gymnasium_vector, num_envs=2)):
        with pytest.raises(MissingExtraError, match=r"pip install 'jaxrl\[gymnasium\]'"):
            bridge(make("CartPole-v1")[0])
