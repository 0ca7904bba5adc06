"""Reward programs as reward sources: right rewards in every algorithm, each on its own seeds."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest
from test_algorithms import SMALL

from jaxrl.algorithms import ALGORITHMS
from jaxrl.environment import make
from jaxrl.errors import ConfigError
from jaxrl.rewards.program import compile_program, program, programs, schema_of
from jaxrl.types import Recorded, Transition
from jaxrl.update import initial_carry, make_update, run_updates

HEAD = "def reward(state, action, next_state):\n"
MOVES = (
    f"{HEAD}    step = next_state.cart_position - state.cart_position\n"
    "    if action == 1 and next_state.time > 3:\n"
    "        return 1.0 + step, {'step': step, 'right': 1.0}\n"
    "    return step - abs(next_state.pole_angle), {'step': step}\n"
)
TIMES = f"{HEAD}    return next_state.time - state.time, {{'clock': next_state.time}}"
BROKEN = f"{HEAD}    return jnp.log(-1.0 - state.time)"


@pytest.fixture(scope="module")
def compiled(cartpole):
    schema = schema_of(*cartpole)
    return [compile_program(text, schema) for text in (MOVES, TIMES, BROKEN)]


def by_hand(before, action, after):
    """What `MOVES` says, in numpy, of states and actions with any leading axes."""
    step = after.x - before.x
    right = (action == 1) & (after.time > 3)
    return np.where(right, 1.0 + step, step - np.abs(after.theta)), step, right


def collected(algorithm, source, params, seeds=2):
    """The annotated trajectory of the first update, and its metrics."""
    carry = initial_carry(algorithm, source, jax.random.split(jax.random.key(0), seeds), params, 1)

    @jax.jit
    def run(carry):
        _, trajectory = jax.vmap(lambda s: algorithm.collect(s, source.needs))(carry.train)
        return source.annotate(carry.reward, trajectory)[1:]

    return jax.tree.map(np.asarray, run(carry))


def build(name, env):
    return ALGORITHMS[name].build(env, ALGORITHMS[name].config(**SMALL[name]))


@pytest.mark.parametrize("name", ["ppo", "reinforce"])  # windows, and whole episodes
def test_reward_is_that_of_the_step_before_and_after(name, cartpole, small_ppo, compiled):
    env, params = cartpole
    algorithm = small_ppo if name == "ppo" else build(name, env)
    trajectory, metrics = collected(algorithm, program(env, compiled[0], params), params)
    record = trajectory.record
    valid = np.ones(trajectory.reward.shape, bool) if name != "reinforce" else trajectory.valid
    expected, step, right = by_hand(record.previous, trajectory.action, record.state)
    np.testing.assert_allclose(
        trajectory.reward, np.where(valid, expected, 0.0), rtol=1e-5, atol=1e-6
    )
    assert valid.any() and (trajectory.terminated | trajectory.truncated).any()
    # The step of which it is said leads from what the policy saw to what came of it.
    seen = env.get_obs(record.previous)
    np.testing.assert_array_equal(np.where(valid[..., None], seen, 0), trajectory.obs)
    count = valid.sum((1, 2))
    for key, values in (("step", step), ("right", right), ("total", expected)):
        mean = metrics[f"reward/{key}"]
        np.testing.assert_array_equal(mean.count, count)
        sums = np.where(valid, values, 0.0).sum((1, 2))
        np.testing.assert_allclose(mean.total, sums, rtol=1e-4, atol=1e-4)


def trained(algorithm, source, params, seeds, updates=3):
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
    carry = initial_carry(algorithm, source, keys, params, updates)
    return jax.jit(functools.partial(run_updates, make_update(algorithm, source)))(carry, updates)


def test_each_program_trains_its_own_seeds_and_harms_no_other(cartpole, small_ppo, compiled):
    env, params = cartpole
    moves, times, broken = compiled
    three = programs(env, [broken, moves, times], 2, params)
    carry, report = trained(small_ppo, three, params, [0, 1, 0, 1, 0, 1])
    alone, alone_report = trained(small_ppo, program(env, moves, params), params, [0, 1])
    assert not np.isfinite(jax.tree.leaves(carry.train.params)[0][:2]).all()
    for many, one in zip(
        jax.tree.leaves(carry.train.params), jax.tree.leaves(alone.train.params), strict=True
    ):
        np.testing.assert_allclose(many[2:4], one, rtol=1e-5, atol=1e-6)
        assert np.isfinite(many[4:]).all()
    # A metric that another program has counts no sample, and is never a number.
    step, clock = (report.metrics[f"reward/{name}"] for name in ("step", "clock"))
    np.testing.assert_array_equal(step.count > 0, [False, False, True, True, False, False])
    np.testing.assert_array_equal(clock.count > 0, [False, False, False, False, True, True])
    np.testing.assert_allclose(
        step.value[2:4], alone_report.metrics["reward/step"].value, rtol=1e-4
    )
    assert np.isnan(np.asarray(step.value)[[0, 1, 4, 5]]).all()
    assert (report.first_bad >= 0).tolist() == [True] * 2 + [False] * 4


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_learns_from_programs(name, compiled):
    """Its update can be traced, with the rewards in place of the environment's."""
    env, params = make("CartPole-v1")
    text = f"{HEAD}    return next_state.time * 1.0, {{'late': state.time > 9}}"
    source = program(env, compile_program(text, schema_of(env, params)), params)
    algorithm = build(name, env)
    keys = jax.random.split(jax.random.key(0), 2)
    update = make_update(algorithm, source)
    _, metrics = jax.eval_shape(
        lambda keys: update(initial_carry(algorithm, source, keys, params, 10)), keys
    )
    assert metrics["reward/late"].total.shape == metrics["reward/total"].count.shape == (2,)


def test_described_quantities_follow_the_parameters():
    env, params = make("CartPoleSwing-v0", swing_threshold=0.25)
    text = f"{HEAD}    return next_state.swing_threshold"
    source = program(env, compile_program(text, schema_of(env, params)), params)
    assert source.needs == "every_step" and source.name.startswith("program:")
    _, state = env.reset_batch(jax.random.key(0), params, 2)
    row = jax.tree.map(lambda x: x[None, None], state)
    trajectory = Transition(
        *(None, jnp.zeros((1, 1, 2), jnp.int32), jnp.zeros((1, 1, 2)), *[None] * 4),
        record=Recorded(row, None, None, None, row),
    )
    _, annotated, _ = source.annotate((), trajectory)
    np.testing.assert_array_equal(annotated.reward, np.full((1, 1, 2), 0.25))


def test_misfits_are_refused(cartpole, compiled):
    env, params = cartpole
    with pytest.raises(ConfigError, match="no reward program"):
        programs(env, [])
    snake, _ = make("snake-v0")
    with pytest.raises(ConfigError, match=r"reads cart_position, which snake-v0 does not"):
        program(snake, compiled[0])
    with pytest.raises(ConfigError, match="does not name the quantities"):
        program(probes.ConstantReward(), compiled[0])
    three = SimpleNamespace(reward=np.zeros((3, 4, 2)))
    with pytest.raises(ConfigError, match=r"3 seeds for 2 reward programs.*seeds=2"):
        programs(env, compiled[:2], params=params).annotate((), three)
    with pytest.raises(ConfigError, match=r"3 seeds for 2 reward programs, 2 each.*seeds=4"):
        programs(env, compiled[:2], 2, params).annotate((), three)
