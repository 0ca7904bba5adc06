"""The checker: every breach of the contract gets its own error, and what is fine passes."""

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

import jaxrl_envs
from jaxrl.env_check import check_env
from jaxrl.errors import EnvironmentContractError


class Sound(probes.ObservationReward):
    """The environment that every test below breaks in one place."""


def broken(**methods):
    return type("Broken", (Sound,), methods)()


def step_with(**changes):
    """A `step_env` whose named outputs are replaced by functions of the right ones."""

    def step_env(self, key, state, action, params):
        names = ("obs", "state", "reward", "terminated", "info")
        out = dict(zip(names, Sound.step_env(self, key, state, action, params), strict=True))
        return tuple(changes[name](out[name]) if name in changes else out[name] for name in names)

    return step_env


def four_values(self, key, state, action, params):
    return Sound.step_env(self, key, state, action, params)[:4]


def in_half_precision(self, key, params, num_envs):
    keys = jax.random.split(key, num_envs)
    obs, state = jax.vmap(self.reset_env, (0, None))(keys, params)
    return obs.astype(jnp.float16), state


def five_valued_step(self, key, state, action, params=None):
    obs, state, reward, terminated, info = self.step_env(key, state, action, params)
    return obs, state, reward, terminated, info


def branches(self, key, state, action, params):
    if action > 0:
        return Sound.step_env(self, key, state, action, params)
    return Sound.step_env(self, key, state, action, params)


def space(**changes):
    arguments = {"low": -1.0, "high": 1.0, "shape": (1,)} | changes
    return lambda self, params=None: jaxrl_envs.Box(**arguments)


BREACHES = {
    "no method": ({"is_truncated": None}, "has no method is_truncated.*gymnax 1.0"),
    "four values": (
        {"step_env": four_values},
        r"step_env returns 4 values, needed is \(obs, state",
    ),
    "five-value step": ({"step": five_valued_step}, r"step returns 5 values.*gymnax 0\.0\.9"),
    "python branch": ({"step_env": branches}, r"step_env cannot be traced.*jnp\.where"),
    "obs shape": ({"observation_space": space(shape=(3,))}, r"shape \(1,\).*says \(3,\)"),
    "obs type": ({"observation_space": space(dtype=jnp.uint8)}, "type float32.*says uint8"),
    "obs type of a step": (
        {"step_env": step_with(obs=lambda x: x.astype(jnp.int32))},
        "step_env gives an observation of type int32.*says float32",
    ),
    "obs tree": (
        {"reset_env": lambda self, key, params: ({"a": jnp.zeros(1)}, 0)},
        "an observation that is a dict.*one array",
    ),
    "state structure": (
        {"step_env": step_with(state=lambda s: (s, 1))},
        "changes the structure of the state",
    ),
    "state shape": (
        {"step_env": step_with(state=lambda s: s.replace(cue=s.cue[None]))},
        r"changes the shape of state\.cue from \(\) to \(1,\)",
    ),
    "state type": (
        {"step_env": step_with(state=lambda s: s.replace(time=s.time + 0.5))},
        r"changes the type of state\.time from int32 to float32.*jnp\.zeros",
    ),
    "reward shape": ({"step_env": step_with(reward=lambda r: r[None])}, r"reward is float32\[1\]"),
    "terminated type": (
        {"step_env": step_with(terminated=lambda t: t.astype(jnp.float32))},
        r"terminated is float32\[\], needed is a scalar of kind bool",
    ),
    "truncated type": (
        {"is_truncated": lambda self, state, params: state.time},
        r"is_truncated is int32\[\]",
    ),
    "batch": (
        {"reset_batch": lambda self, key, params, num_envs: self.reset_env(key, params)},
        "reset_batch with num_envs=4",
    ),
    "batch type": (
        {"reset_batch": in_half_precision},
        "reset_batch with num_envs=4 gives .*float16.*needed are .*float32",
    ),
    "no sample": (
        {"action_space": lambda self, params=None: object()},
        r"object, which has no sample\(key\)",
    ),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_each_breach_is_said(breach):
    methods, said = BREACHES[breach]
    with pytest.raises(EnvironmentContractError, match=f"(?s)Broken.*{said}"):
        check_env(broken(**methods))


ONCE = np.random.default_rng(0)


def from_the_host(reward):
    shape = jax.ShapeDtypeStruct((), jnp.float32)
    return jax.pure_callback(
        lambda _: np.float32(ONCE.uniform()), shape, reward, vmap_method="sequential"
    )


DEEP = {
    "not finite": (step_with(reward=lambda r: r / 0), "a reward that is not finite"),
    "obs not finite": (step_with(obs=lambda x: x * jnp.nan), "an observation that is not finite"),
    "outside": (step_with(obs=lambda x: 3 * x), r"from -3 to 3, some outside.*widen"),
    "numpy's generator": (
        step_with(reward=lambda r: r + ONCE.uniform()),
        "other values compiled than uncompiled.*not from Python's or numpy's generators",
    ),
    "callback": (step_with(reward=from_the_host), "different steps for the same key"),
}


@pytest.mark.parametrize("breach", DEEP)
def test_what_only_playing_shows_is_said_by_the_deep_check_alone(breach):
    step_env, said = DEEP[breach]
    env = broken(step_env=step_env)
    check_env(env)
    with pytest.raises(EnvironmentContractError, match=said):
        check_env(env, deep=True)


@pytest.mark.parametrize(
    "env",
    [Sound(continuous=True), probes.Truncation(), jaxrl_envs.CartPole()],
    ids=["continuous", "truncated", "CartPole"],
)
def test_sound_environments_pass_deeply(env):
    check_env(env, deep=True)


def test_weak_types_and_integer_rewards_pass():
    """As gymnax writes them: Python numbers in the state, `time + 1`, rewards that are counts."""
    lenient = broken(
        reset_env=lambda self, key, params: (jnp.zeros(1), probes.ProbeState(0, 0.0)),
        step_env=step_with(reward=lambda r: jnp.int32(1)),
    )
    check_env(lenient, deep=True)


def test_params_are_those_given():
    def as_wide_as_long(self, params=None):
        return jaxrl_envs.Box(-1.0, 1.0, (params.max_steps_in_episode,))

    env = broken(observation_space=as_wide_as_long)
    check_env(env, jaxrl_envs.EnvParams(max_steps_in_episode=1))
    with pytest.raises(EnvironmentContractError, match=r"says \(10,\)"):
        check_env(env)  # the default


class Unsampled:
    """A space whose `sample` fails, as that of a box with bounds of two shapes does."""

    def sample(self, key):
        raise ValueError("no dimensions to stack")


def test_a_space_that_cannot_be_sampled_is_named():
    env = broken(action_space=lambda self, params=None: Unsampled())
    with pytest.raises(EnvironmentContractError, match="action_space's sample fails"):
        check_env(env)
