"""Brax's and Jumanji's environments: stand-ins that keep to their interfaces, and the real ones.

The real ones are played where the packages are installed, which the test extra does not do.
"""

import sys
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from jaxrl import make
from jaxrl.env_check import check_env
from jaxrl.errors import ConfigError, MissingExtraError, SpaceError, UnknownNameError
from jaxrl.vector import rollout, vectorize

PACKAGES = ("brax", "jumanji")


def module(monkeypatch, name, **contents):
    """A package in place of the one of that name."""
    stand_in = ModuleType(name)
    vars(stand_in).update(contents)
    monkeypatch.setitem(sys.modules, name, stand_in)


@struct.dataclass
class FallState:
    """Brax's `State`, as far as the adapter reads it."""

    obs: jax.Array
    reward: jax.Array
    done: jax.Array
    info: dict


class Fall:
    """A brax `Env`: a number that actions move; it is done beyond 1."""

    action_size = 1

    def __init__(self, pixels=False):
        self.observation_size = {"pixels": 3} if pixels else 2

    def reset(self, rng):
        rng, key = jax.random.split(rng)
        obs = jax.random.uniform(key, (2,), minval=-0.1, maxval=0.1)
        return FallState(obs, jnp.zeros(()), jnp.zeros(()), {"rng": rng})

    def step(self, state, action):
        obs = state.obs + 0.25 * action
        done = jnp.where(jnp.abs(obs[0]) > 1, 1.0, 0.0)
        return state.replace(obs=obs, reward=action[0], done=done)


class Seen(NamedTuple):
    """An observation of Jumanji's kind: several arrays, a mask among them."""

    place: jax.Array
    action_mask: jax.Array


@chex.dataclass
class TimeStep:
    """Jumanji's, as far as the adapter reads it."""

    step_type: jax.Array
    reward: jax.Array
    discount: jax.Array
    observation: Seen

    def last(self):
        return self.step_type == 2


class Walk:
    """A jumanji `Environment`: steps left and right; ends at 3, is cut off at -3."""

    def __init__(self, kind="discrete"):
        self.action_spec = {
            "discrete": SimpleNamespace(num_values=2, shape=(), dtype=jnp.int32),
            "vector": SimpleNamespace(minimum=-1.0, maximum=1.0, shape=(1,), dtype=jnp.float32),
            "several": SimpleNamespace(num_values=np.array([2, 2]), shape=(2,), dtype=jnp.int32),
        }[kind]
        if kind == "discrete":
            self.time_limit = 50

    def _at(self, place, step_type):
        seen = Seen(place, jnp.array([True, True]))
        discount = jnp.where(place == 3, 0.0, 1.0)
        return TimeStep(
            step_type=step_type, reward=place * 1.0, discount=discount, observation=seen
        )

    def reset(self, key):
        state = {"place": jnp.int32(0), "key": key}
        return state, self._at(state["place"], jnp.int8(0))

    def step(self, state, action):
        place = state["place"] + jnp.where(jnp.sum(action) > 0, 1, -1)
        return {**state, "place": place}, self._at(
            place, jnp.where(jnp.abs(place) == 3, 2, 1).astype(jnp.int8)
        )


@pytest.fixture
def brax(monkeypatch):
    table = {"fall": Fall}
    envs = SimpleNamespace(
        _envs=table, get_environment=lambda name, **arguments: table[name](**arguments)
    )
    module(monkeypatch, "brax", envs=envs)


@pytest.fixture
def jumanji(monkeypatch):
    def make_walk(name, **arguments):
        if name != "Walk-v0":
            raise ValueError(f"Unregistered environment {name}.")
        return Walk(**arguments)

    module(monkeypatch, "jumanji", make=make_walk)


def roll(env, params, action, num_steps):
    venv = vectorize(env, 2)
    actions = jnp.broadcast_to(action, (2, *jnp.shape(action)))
    return jax.jit(
        lambda key: rollout(
            venv,
            params,
            venv.reset(key, params),
            lambda key: (),
            lambda obs, noise: (actions, ()),
            key,
            num_steps,
        )[1]
    )(jax.random.key(0))


def test_brax(brax):
    env, params = make("brax:fall")
    # Clipped to 1, so that the number goes beyond 1 in its fourth or fifth step.
    steps = roll(env, params, jnp.array([9.0]), 12)
    assert (steps.reward == 1).all() and not steps.truncated.any()
    ends = np.flatnonzero(np.asarray(steps.terminated[:, 0]))
    assert ends[0] in (3, 4) and abs(float(steps.next_obs[ends[0], 0, 0])) > 1
    assert (jnp.abs(steps.obs[ends[0] + 1, 0]) <= 0.1).all()
    assert params.max_steps_in_episode == 1000
    short = roll(*make("brax:fall", max_steps_in_episode=3), jnp.array([0.0]), 6)
    assert short.truncated[:, 0].tolist() == [False, False, True] * 2 and not short.terminated.any()


def test_jumanji(jumanji):
    env, params = make("jumanji:Walk-v0")
    assert params.max_steps_in_episode == 50 and env.observation_space(params).shape == (3,)
    to_the_end = roll(env, params, jnp.int32(1), 6)
    assert to_the_end.next_obs[:3, 0].tolist() == [[1, 1, 1], [2, 1, 1], [3, 1, 1]]
    assert to_the_end.reward[:3, 0].tolist() == [1, 2, 3]
    assert to_the_end.terminated[:, 0].tolist() == [False, False, True] * 2
    cut_off = roll(env, params, jnp.int32(0), 6)
    assert cut_off.truncated[:, 0].tolist() == [False, False, True] * 2
    assert not to_the_end.truncated.any() and not cut_off.terminated.any()
    env, params = make("jumanji:Walk-v0", kind="vector")
    assert env.action_space(params).shape == (1,) and not hasattr(params, "max_steps_in_episode")


def test_what_cannot_be_made(brax, jumanji):
    with pytest.raises(UnknownNameError, match=r"unknown environment of Brax's 'fell'.*'fall'"):
        make("brax:fell")
    with pytest.raises(SpaceError, match="needed is one vector"):
        make("brax:fall", pixels=True)
    with pytest.raises(ConfigError, match="Jumanji cannot make 'Run-v0': Unregistered"):
        make("jumanji:Run-v0")
    with pytest.raises(SpaceError, match="needed is a whole number or a vector"):
        make("jumanji:Walk-v0", kind="several")


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_named(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=f"pip install {name}"):
        make(f"{name}:ant")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("brax:inverted_pendulum", {"backend": "generalized"}),
        ("jumanji:Game2048-v1", {}),
        ("jumanji:Maze-v0", {}),
    ],
)
def test_the_real_one(name, arguments):
    pytest.importorskip(name.partition(":")[0])
    env, params = make(name, **arguments)
    check_env(env, params, deep=True)
    assert env.name == name.partition(":")[2]
