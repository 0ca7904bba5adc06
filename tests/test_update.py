"""The loop over updates that take as many steps as their episodes last."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl import rewards
from jaxrl.algorithms.reinforce import ReinforceConfig, reinforce
from jaxrl.training import train
from jaxrl.update import initial_carry, make_update, run_updates

LANES = 4
SEEDS = 3


@pytest.fixture(scope="module")
def algorithm(cartpole):
    config = ReinforceConfig(
        num_envs=LANES, hidden_sizes=(8,), max_episode_steps=60, learning_rate_final=0.0
    )
    return reinforce(cartpole[0], config)


@pytest.fixture(scope="module")
def run(algorithm, cartpole):
    """`(start, many)`: fresh seeds of a run of 200 planned updates, and its loop."""
    source = rewards.environment()
    keys = jax.vmap(jax.random.key)(np.arange(SEEDS))
    start = jax.jit(lambda: initial_carry(algorithm, source, keys, cartpole[1], 200))()
    update = make_update(algorithm, source)
    return start, jax.jit(lambda carry, n: run_updates(update, carry, n))


def bits(tree):
    is_key = lambda x: jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)  # noqa: E731
    return [np.asarray(jax.random.key_data(x) if is_key(x) else x) for x in jax.tree.leaves(tree)]


def test_every_seed_does_the_steps_that_were_planned_and_hardly_more(run):
    start, many = run
    carry, report = many(start, 50)
    steps = jax.tree.map(np.asarray, carry.train.steps)
    np.testing.assert_array_equal(steps.planned, 50 * LANES)
    assert (steps.done >= steps.planned).all() and (steps.done < 50 * LANES + 60 * LANES).all()
    assert not steps.idle.any()
    # What was counted is what was played: the metrics leave out the updates spent waiting.
    np.testing.assert_array_equal(report.metrics["episode/length"].total, steps.done)
    np.testing.assert_array_equal(
        report.metrics["episode/length"].count, LANES * np.asarray(carry.train.update)
    )
    assert len(set(steps.done.tolist())) > 1


def test_a_seed_ahead_waits_and_its_state_is_left_alone(run):
    start, many = run
    ahead = start.train.steps._replace(done=jnp.array([0, 900, 0], jnp.uint32))
    carry = start._replace(train=start.train.replace(steps=ahead))
    after, report = many(carry, 100)
    same = [
        np.array_equal(a[1], b[1])
        for a, b in zip(bits(carry.train), bits(after.train), strict=True)
    ]
    changed = [name for name, s in zip(names(carry.train), same, strict=True) if not s]
    assert changed == [".steps.planned"]
    assert np.asarray(after.train.update).tolist()[1] == 0 and (after.train.update[::2] > 0).all()
    assert np.asarray(report.metrics["loss/policy"].count)[1] == 0
    # Its turn comes: at 225 planned updates of 4 steps it is no longer ahead.
    later, _ = many(after, 126)
    assert int(later.train.update[1]) > 0 and int(later.train.steps.done[1]) > 900


def names(tree):
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def test_a_seed_alone_is_the_seed_among_others(run, algorithm, cartpole):
    start, many = run
    together, _ = many(start, 100)
    alone, _ = many(jax.tree.map(lambda x: x[2:], start), 100)
    assert int(alone.train.steps.done[0]) == int(together.train.steps.done[2])
    assert int(alone.train.update[0]) == int(together.train.update[2])
    for a, b in zip(bits(alone.train.params), bits(together.train.params), strict=True):
        np.testing.assert_allclose(a[0], b[2], rtol=1e-4, atol=1e-5)


def test_schedules_go_by_the_share_of_the_steps(run):
    start, many = run
    carry, _ = many(start, 100)
    steps = np.asarray(carry.train.steps.done)
    progress = np.asarray(jax.vmap(lambda s: s.progress)(carry.train))
    np.testing.assert_allclose(progress, steps / (200 * LANES), rtol=1e-6)


QUICK = dict(total_steps=800, seeds=2, eval_episodes=2, log_every=100, eval_every=400)


class Cut:
    """A callback that raises once half of the run is saved."""

    def on_start(self, info):
        pass

    def on_log(self, point):
        pass

    def on_checkpoint(self, update, state, point):
        if update >= 100:
            raise KeyError("cut")

    def on_end(self, result):
        pass


@pytest.mark.slow
def test_a_resumed_run_is_the_whole_run_bit_for_bit(algorithm, tmp_path):
    whole = train(algorithm, out=tmp_path / "whole", **QUICK)
    with pytest.raises(KeyError):
        train(algorithm, out=tmp_path / "cut", callbacks=[Cut()], **QUICK)
    resumed = train(algorithm, resume=tmp_path / "cut", **QUICK)
    for a, b in zip(bits(whole.state), bits(resumed.state), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(whole.final.returns, resumed.final.returns)
    done = np.asarray(whole.state.steps.done)
    assert (done >= 800).all()
    np.testing.assert_array_equal(whole.history[-1].metrics["time/steps"], done)
    opened = jaxrl.open_run(tmp_path / "cut")
    for a, b in zip(bits(opened.policies.params), bits(resumed.state.params), strict=True):
        np.testing.assert_array_equal(a, b)
