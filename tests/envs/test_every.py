"""What every environment of the table must pass. A new row gets these tests for nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.env_check import DEEP_ENVS as LANES
from jaxrl.env_check import DEEP_STEPS as STEPS
from jaxrl.env_check import check_env, play
from jaxrl.vector import vectorize
from jaxrl_envs import ENVIRONMENTS, Box, draw

KINDS = ("float32", "int32", "bool", "int16")
NAMES = [name for name, factory in ENVIRONMENTS.items() if factory().name == name]
DEAR_TO_COMPILE = ("LunarLander-v3", "LunarLanderContinuous-v3")
"""Half a minute a program: in the slow tests here, and in fast ones of their own."""


class Played:
    """One environment and random steps in it, by the program that the deep check compiles too."""

    def __init__(self, name):
        self.name, self.env = name, ENVIRONMENTS[name]()
        self.params = self.env.default_params
        self.play = jax.jit(lambda key: play(self.env, self.params, key))
        self.step = jax.jit(self.env.step_env)
        self.trajectory = self.play(jax.random.key(0))

    @property
    def states(self):
        """The last states, `[LANES, ...]`."""
        return jax.tree.map(lambda x: x[-1], self.trajectory.record.state)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.slow] * (name in DEAR_TO_COMPILE)) for name in NAMES
    ],
)
def played(request):
    return Played(request.param)


def test_further_names_are_of_an_environment_that_has_its_own():
    assert {ENVIRONMENTS[name]().name for name in ENVIRONMENTS} == set(NAMES)


def test_passes_the_check(played):
    check_env(played.env, played.params)
    assert played.env.name == played.name


@pytest.mark.slow
def test_passes_the_deep_check(played):
    """What of it is not shown below: compiled steps are the uncompiled ones."""
    check_env(played.env, played.params, deep=True)


def test_the_same_key_gives_the_same_episodes_and_another_key_others(played):
    again, other = played.play(jax.random.key(0)), played.play(jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, played.trajectory, again)
    assert not jax.tree.all(jax.tree.map(np.array_equal, played.trajectory, other))


def test_what_is_seen_is_finite_and_in_its_space(played):
    space = played.env.observation_space(played.params)
    for obs in (played.trajectory.obs, played.trajectory.next_obs):
        assert obs.shape == (STEPS, LANES, *space.shape) and obs.dtype == space.dtype
        assert bool(jnp.isfinite(obs).all()) and bool(space.contains(obs))
    assert bool(jnp.isfinite(played.trajectory.reward).all())


def test_states_are_finite_and_keep_their_types(played):
    start = jax.eval_shape(played.env.reset_env, jax.random.key(0), played.params)[1]
    for a, b in zip(jax.tree.leaves(start), jax.tree.leaves(played.states), strict=True):
        assert ((LANES, *a.shape), a.dtype) == (b.shape, b.dtype) and a.dtype.name in KINDS
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(played.trajectory.record))


def test_one_lane_stepped_alone_is_the_lane_of_a_scanned_batch(played):
    """`scan` and `vmap` give what a compiled step gives that is called again and again."""
    env, params = played.env, played.params
    keys = jax.random.split(jax.random.key(2), (3, LANES))
    actions = jax.vmap(jax.vmap(env.action_space(params).sample))(keys)

    def step_all(states, x):
        out = jax.vmap(env.step_env, (0, 0, 0, None))(*x[:1], states, *x[1:], params)[:4]
        return out[1], out

    _, batch = jax.jit(lambda s, xs: jax.lax.scan(step_all, s, xs))(played.states, (keys, actions))
    for lane in range(2):
        state = jax.tree.map(lambda x: x[lane], played.states)  # noqa: B023
        for t in range(len(keys)):
            alone = played.step(keys[t, lane], state, actions[t, lane], params)[:4]
            state = alone[1]
            for a, b in zip(jax.tree.leaves(batch), jax.tree.leaves(alone), strict=True):
                # Compiled apart, and rounding grows from step to step.
                np.testing.assert_allclose(a[t, lane], b, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_million_random_steps_stay_finite_and_in_their_space(played):
    """1000 steps in each of 1000 lanes; what they were is forgotten, so that they fit."""
    env, params = played.env, played.params
    venv, space = vectorize(env, 1000), env.observation_space(params)
    sample = jax.vmap(env.action_space(params).sample)

    def step(state, key):
        key_action, key_step, key_start = jax.random.split(key, 3)
        action = sample(jax.random.split(key_action, 1000))
        restart = venv.restart(key_start, state, params)
        state, seen = venv.step(key_step, state, action, restart, params)
        seen = (state.obs, seen.next_obs, seen.reward, seen.state)
        finite = jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(seen)]).all()
        return state, finite & space.contains(seen[0]) & space.contains(seen[1])

    def play(key):
        keys = jax.random.split(key, 1000)
        return jax.lax.scan(step, venv.reset(key, params), keys)[1]

    assert bool(jax.jit(play)(jax.random.key(4)).all())


def test_a_start_of_a_batch_is_like_a_start_alone(played):
    env, params = played.env, played.params
    alone = jax.eval_shape(env.reset_env, jax.random.key(0), params)
    batch = jax.eval_shape(lambda key: env.reset_batch(key, params, 3), jax.random.key(0))
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(batch), strict=True):
        assert (3, *a.shape) == b.shape and a.dtype == b.dtype


def test_actions_out_of_range_are_clamped_inside_jit_and_refused_outside(played):
    space = played.env.action_space(played.params)
    if isinstance(space, Box):
        low, high = (jnp.broadcast_to(x, space.shape) for x in (space.low, space.high))
        pairs = ((high + 5, high), (low - 5, low))
    else:
        pairs = ((jnp.int32(space.n + 5), jnp.int32(space.n - 1)), (jnp.int32(-3), jnp.int32(0)))
    key = jax.random.key(3)
    state = jax.tree.map(lambda x: x[0], played.states)
    for given, meant in pairs:
        a, b = (played.step(key, state, action, played.params)[:4] for action in (given, meant))
        jax.tree.map(np.testing.assert_array_equal, a, b)
        with pytest.raises(ValueError, match="action="):
            played.env.step_env(key, state, given, played.params)


@pytest.mark.parametrize("action", ["left", None, np.zeros(3, np.int32), np.nan])
def test_actions_that_are_none_are_refused(played, action):
    state = jax.tree.map(lambda x: x[0], played.states)
    with pytest.raises(ValueError, match="action="):
        played.env.step_env(jax.random.key(3), state, action, played.params)


def test_a_time_limit_is_at_its_step(played):
    env, limit = played.env, played.params.max_steps_in_episode
    state = jax.tree.map(lambda x: x[0], played.states).replace(time=jnp.int32(limit))
    cut = env.is_truncated(state, played.params)
    assert cut.dtype == bool and (cut | env.is_terminated(state, played.params))
    assert not env.is_truncated(state.replace(time=jnp.int32(limit - 1)), played.params)


def test_describe_names_every_quantity_with_its_unit(played):
    said = jax.jit(played.env.describe)(jax.tree.map(lambda x: x[0], played.states), played.params)
    assert set(said) == set(played.env.quantities)
    assert all(unit and meaning for unit, meaning in played.env.quantities.values())
    assert all(value.shape == () and bool(jnp.isfinite(value)) for value in said.values())


def test_pictures_of_a_batch(played):
    def draw_states(states):
        return jax.vmap(lambda s: played.env.render(s, played.params, height=20, width=33))(states)

    frames = np.asarray(jax.jit(draw_states)(played.states))
    assert frames.shape == (LANES, 20, 33, 3) and frames.dtype == np.uint8
    assert all(len(np.unique(frame.reshape(-1, 3), axis=0)) > 2 for frame in frames)
    assert "gather" not in str(jax.make_jaxpr(draw_states)(played.states))


@pytest.mark.parametrize(("height", "width"), [(15, 40), (40, 15)])
def test_a_picture_too_small_is_refused(played, height, width):
    state = jax.tree.map(lambda x: x[0], played.states)
    with pytest.raises(ValueError, match=f"at least {draw.MIN_SIZE} pixels"):
        played.env.render(state, played.params, height=height, width=width)
