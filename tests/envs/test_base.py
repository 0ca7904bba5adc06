"""The base class: defaults, and the auto-resetting step with its six values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import DelayedReward, ObservationReward, Truncation

from jaxrl.vector import reset_batch
from jaxrl_envs import base


def walk(env, steps, params=None):
    key = jax.random.key(0)
    _, state = env.reset(key, params)
    for _ in range(steps):
        key, sub = jax.random.split(key)
        out = env.step(sub, state, jnp.int32(0), params)
        state = out[1]
    return out


def test_without_a_reset_batch_each_split_key_is_a_reset():
    env = ObservationReward()
    key, params = jax.random.key(3), env.default_params
    obs, state = reset_batch(env, key, params, 16)
    singles = [env.reset_env(k, params)[0] for k in jax.random.split(key, 16)]
    np.testing.assert_array_equal(obs, jnp.stack(singles))
    assert state.time.shape == (16,)
    assert len(np.unique(obs)) == 2  # the lanes differ


def test_step_goes_on_while_the_episode_lasts():
    obs, state, reward, terminated, truncated, info = walk(DelayedReward(), 1)
    assert (float(obs[0]), int(state.time), float(reward)) == (1.0, 1, 0.0)
    assert not terminated and not truncated
    assert float(info["final_observation"][0]) == 1.0


def test_step_starts_anew_after_a_termination_and_keeps_the_last_observation():
    obs, state, reward, terminated, truncated, info = walk(DelayedReward(), 2)
    assert (float(obs[0]), int(state.time), float(reward)) == (0.0, 0, 1.0)
    assert terminated and not truncated
    assert float(info["final_observation"][0]) == 2.0


def test_a_time_limit_truncates_and_does_not_terminate():
    env = Truncation()
    _, state, _, terminated, truncated, _ = walk(env, 10)
    assert truncated and not terminated
    assert int(state.time) == 0
    _, _, _, _, truncated, _ = walk(env, 9)
    assert not truncated
    _, _, _, _, truncated, _ = walk(env, 3, base.EnvParams(max_steps_in_episode=3))
    assert truncated


def test_discount_and_the_older_names_follow_is_terminated():
    env = DelayedReward()
    _, state = env.reset_env(jax.random.key(0), env.default_params)
    for time, over in ((1, False), (2, True)):
        state = state.replace(time=jnp.int32(time))
        assert bool(env.is_terminal(state, env.default_params)) == over
        assert float(env.discount(state, env.default_params)) == 1.0 - over
    seen = env.observe(jax.random.key(0), state, jnp.int32(0), env.default_params)
    np.testing.assert_array_equal(seen, env.get_obs(state))


def test_num_actions_of_either_kind_of_space():
    assert ObservationReward().num_actions == 2
    assert ObservationReward(continuous=True).num_actions == 1


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("step_env", (None, None, None, None)),
        ("reset_env", (None, None)),
        ("get_obs", (None,)),
        ("is_terminated", (None, None)),
        ("action_space", ()),
        ("observation_space", ()),
    ],
)
def test_what_a_subclass_forgot_is_named(method, args):
    class Half(base.Environment):
        pass

    with pytest.raises(TypeError, match=f"Half does not define {method}"):
        getattr(Half(), method)(*args)
