"""DQN's own mathematics, its switches, its memory, and what it refuses."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from jaxrl import objectives, optim, replay, rewards
from jaxrl.algorithms import dqn as module
from jaxrl.algorithms.dqn import DQNConfig, dqn
from jaxrl.environment import make
from jaxrl.errors import ConfigError, SpaceError, UnknownNameError
from jaxrl.off_policy import of_any_seed
from jaxrl.run.checkpoint import Checkpointer
from jaxrl.run.machine import available_memory_bytes
from jaxrl.training import train
from jaxrl.types import LateLabels
from jaxrl.update import initial_carry, make_update, run_updates

SMALL = dict(
    num_envs=4,
    num_steps=2,
    hidden_sizes=(8,),
    buffer_size=200,
    batch_size=16,
    replay_ratio=0.25,
    learning_starts=0,
)


@pytest.fixture(scope="module")
def small(cartpole):
    """DQN on CartPole, three steps ahead; its compiled update, and a state after some."""
    algorithm = dqn(cartpole[0], DQNConfig(**SMALL, n_step=3, dueling=True, normalize_obs=True))

    @jax.jit
    def update(state):
        state, trajectory = algorithm.collect(state)
        return *algorithm.learn(state, trajectory), trajectory

    state = jax.jit(algorithm.init)(jax.random.key(0), cartpole[1], 50)
    return algorithm, update, state


def numbers(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


class TestTargets:
    def test_q_target_is_rlax_and_a_loop(self):
        reward, next_q = numbers(7), numbers(7, 3, seed=1)
        discount = jnp.where(jnp.arange(7) % 3 == 0, 0.0, 0.9)
        ours = objectives.q_target(reward, discount, next_q)
        loop = [reward[i] + discount[i] * max(map(float, next_q[i])) for i in range(7)]
        np.testing.assert_allclose(ours, loop, rtol=1e-6)
        q, action = numbers(7, 3, seed=2), jnp.arange(7) % 3
        theirs = jax.vmap(rlax.q_learning)(q, action, reward, discount, next_q)
        np.testing.assert_allclose(ours - objectives.chosen(q, action), theirs, rtol=1e-5)

    def test_double_q_target_is_rlax(self):
        reward, discount = numbers(7), jnp.full(7, 0.9)
        next_q, selector = numbers(7, 3, seed=1), numbers(7, 3, seed=3)
        q, action = numbers(7, 3, seed=2), jnp.arange(7) % 3
        ours = objectives.q_target(reward, discount, next_q, selector)
        theirs = jax.vmap(rlax.double_q_learning)(q, action, reward, discount, next_q, selector)
        np.testing.assert_allclose(ours - objectives.chosen(q, action), theirs, rtol=1e-5)

    def test_huber_is_rlax(self):
        error = jnp.array([-3.0, -1.0, -0.4, 0.0, 0.7, 2.5])
        np.testing.assert_allclose(objectives.huber(error), rlax.huber_loss(error), rtol=1e-6)
        slope = jax.vmap(jax.grad(objectives.huber))(error)
        np.testing.assert_allclose(slope, jnp.clip(error, -1, 1), rtol=1e-6)

    def test_polyak_by_hand(self):
        moved = optim.polyak({"w": jnp.array([1.0])}, {"w": jnp.array([3.0])}, 0.25)
        np.testing.assert_allclose(moved["w"], [1.5])

    def test_epsilon_greedy_takes_every_action_alike(self):
        q = jnp.broadcast_to(jnp.array([0.0, 2.0, 1.0]), (3000, 3))
        uniform = (jnp.arange(3000) + 0.5) / 3000
        action = objectives.epsilon_greedy(q, uniform, 0.3)
        np.testing.assert_array_equal(np.bincount(action), [300, 2400, 300])
        assert (objectives.epsilon_greedy(q, uniform, 0.0) == 1).all()

    def test_a_row_of_weight_0_may_hold_anything(self):
        x, weight = jnp.array([1.0, jnp.nan, 3.0]), jnp.array([1.0, 0.0, 1.0])
        assert objectives.weighted_mean(x, weight) == 2
        assert objectives.weighted_mean(x, jnp.zeros(3)) == 0


@pytest.mark.slow
def test_learns_from_what_it_is_given_not_from_the_environments_reward(small):
    """Rewards that `annotate` changed go into the replay, and labels may come an update late."""
    algorithm, _, state = small
    state, trajectory = jax.jit(algorithm.collect)(state)
    waiting = trajectory._replace(
        reward=jnp.full_like(trajectory.reward, 7.0),
        labelled=jnp.zeros_like(trajectory.terminated).at[0, 0].set(True),
    )
    learn = jax.jit(algorithm.learn)
    learned, metrics = learn(state, waiting)
    assert float(metrics["loss/value"].count) == 0  # no window of three is whole
    jax.tree.map(np.testing.assert_array_equal, learned.params, state.params)
    np.testing.assert_array_equal(learned.replay.reward[:2], 7.0)
    assert (learned.replay.flags[:2] & replay.LABELLED > 0).sum() == 1

    row, lane = (x.ravel() for x in jnp.meshgrid(jnp.arange(2), jnp.arange(4), indexing="ij"))
    late = LateLabels(row, lane, jnp.full(8, 3.0), jnp.ones(8, bool).at[5].set(False))
    again, trajectory = jax.jit(algorithm.collect)(learned)
    labelled, metrics = learn(again, trajectory._replace(late=late))
    wanted = np.full((2, 4), 3.0)
    wanted[1, 1] = 7.0  # there was no label for this one after all
    np.testing.assert_array_equal(labelled.replay.reward[:2], wanted)
    assert (labelled.replay.flags[:2] & replay.LABELLED > 0).sum() == 7
    assert float(metrics["loss/value"].count) == 2


def test_target_network_follows_its_period(small):
    algorithm, update, state = small
    assert algorithm.config.target_period == 50
    moved = []
    for _ in range(26):  # two gradient steps each; windows of three need two updates
        before = state.target_params
        state, _, _ = update(state)
        same = jax.tree.map(lambda a, b: bool((a == b).all()), before, state.target_params)
        moved.append(not all(jax.tree.leaves(same)))
    assert moved == [False] * 24 + [True, False]


def test_a_checkpoint_goes_on_bit_for_bit(small, tmp_path):
    """The buffer is in it: what is sampled after a restart is what would have been without."""
    _, update, state = small
    for _ in range(3):
        state, _, _ = update(state)
    checkpoints = Checkpointer(tmp_path)
    checkpoints.save(3, state)
    restored = checkpoints.restore(jax.eval_shape(lambda: state))
    assert restored.replay.layout == state.replay.layout and int(restored.replay.stored) == 6
    went_on, came_back = update(state)[0], update(restored)[0]
    assert any((a != b).any() for a, b in _leaves(went_on, state))
    for a, b in _leaves(went_on, came_back):
        np.testing.assert_array_equal(a, b)


def _leaves(a, b):
    without_keys = [jax.tree.leaves(x.replace(key=jax.random.key_data(x.key))) for x in (a, b)]
    return zip(*without_keys, strict=True)


def test_schedules_reach_their_end(small):
    _, update, state = small
    first = update(state)[1]
    middle = update(state.replace(update=jnp.int32(30)))[1]
    last = update(state.replace(update=jnp.int32(49)))[1]
    assert float(first["schedule/epsilon"].value) == 1.0
    assert float(middle["schedule/epsilon"].value) == float(np.float32(0.05))
    assert float(last["schedule/epsilon"].value) == float(np.float32(0.05))


def test_seeds_agree_on_how_long_they_learn():
    """So that their loop has one length, and never chooses between states seed by seed."""
    some, none = jnp.array([False, True, False]), jnp.zeros(3, bool)
    for begun, expected in ((some, 5), (none, 0)):
        steps = jax.vmap(lambda x: jnp.where(of_any_seed(x), 5, 0), out_axes=None)(begun)
        assert steps == expected
    nested = jax.vmap(jax.vmap(of_any_seed), out_axes=0)(some[None])
    assert nested.shape == (1, 3) and nested.all()
    assert not of_any_seed(jnp.array(False))


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_the_replay_is_in_memory_once(cartpole, num_seeds):
    """What a compiled chunk of updates needs beside its donated state is less than a buffer.

    One seed and several, for they are different programs, and no copy of it is made in either.
    """
    algorithm = dqn(cartpole[0], DQNConfig(**SMALL | dict(buffer_size=10**6)))
    source = rewards.environment()
    update = make_update(algorithm, source)
    keys = jax.random.split(jax.random.key(0), num_seeds)
    carry = jax.eval_shape(lambda: initial_carry(algorithm, source, keys, cartpole[1], 10))
    size = replay.num_bytes(carry.train.replay)
    assert size > num_seeds * 10**6 * 20
    chunk = jax.jit(lambda carry, n: run_updates(update, carry, n), donate_argnums=0)
    program = chunk.lower(carry, 1).compile()
    memory = program.memory_analysis()
    assert memory.alias_size_in_bytes >= size
    assert memory.temp_size_in_bytes < size / 100
    rows = carry.train.replay.layout.rows
    assert not re.findall(rf"\[(?:\d+,)?{rows}[,\]]\S* copy\(", program.as_text())


def test_bytes_are_told_and_what_does_not_fit_is_refused(cartpole, monkeypatch):
    from jaxrl import training

    algorithm = dqn(cartpole[0], DQNConfig(**SMALL | dict(buffer_size=10**6)))
    monkeypatch.setattr(training, "available_memory_bytes", lambda: 30 * 10**6)
    with pytest.raises(
        ConfigError, match=r"45\.\d MB for 2 seeds.* 30 MB free.*buffer_size=66\d{4}"
    ):
        train(algorithm, cartpole[1], total_steps=1000, seeds=2)
    monkeypatch.undo()
    assert available_memory_bytes() > 10**6


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(buffer_size=100), "buffer_size=100 is smaller than batch_size=128"),
        (dict(buffer_size=128, n_step=20), "fewer than n_step=20: raise it to 200"),
        (dict(replay_ratio=0.25), "cannot be met.*=2/10 or 3/10"),
        (dict(replay_ratio=0.0), "cannot be met.*=1/10"),
        (dict(buffer_size=2**31), "32-bit"),
        (dict(gamma=1.1), "gamma=1.1"),
        (dict(tau=0.0), "tau=0.0"),
        (dict(n_step=0), "n_step=0"),
        (dict(store_obs_as="uint8"), "holds numbers from 0 to 255.*CartPole-v1 go from -"),
    ],
)
def test_bad_settings_are_refused(cartpole, changes, words):
    with pytest.raises(ConfigError, match=words):
        dqn(cartpole[0], DQNConfig(**changes))


def test_a_run_in_which_nothing_is_learned_is_refused(cartpole, tmp_path):
    algorithm = dqn(cartpole[0], DQNConfig(**SMALL | dict(learning_starts=2000)))
    with pytest.raises(ConfigError, match="learning_starts=2000 is beyond the run of 1000 steps"):
        train(algorithm, cartpole[1], total_steps=1000, out=tmp_path / "run")
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())
    long = dict(learning_starts=0, n_step=300, buffer_size=4000)
    algorithm = dqn(cartpole[0], DQNConfig(**SMALL | long))
    with pytest.raises(ConfigError, match="n_step=300 is beyond the run of 250 steps of each"):
        train(algorithm, cartpole[1], total_steps=1000)


def test_what_it_cannot_take_is_refused(cartpole):
    with pytest.raises(SpaceError, match="Discrete action space is needed"):
        dqn(make("Pendulum-v1")[0])
    with pytest.raises(UnknownNameError, match="did you mean 'huber'"):
        dqn(cartpole[0], DQNConfig(loss="hubr"))


def test_loss_masks_rows_and_stops_at_the_target(small):
    algorithm, _, state = small
    parts = algorithm.init.args[0]
    sample = replay.Sample(
        obs=numbers(4, 4),
        action=jnp.array([0, 1, 0, 1]),
        reward=jnp.ones(4),
        discount=jnp.full(4, 0.9),
        next_obs=numbers(4, 4, seed=1),
        weight=jnp.array([1.0, 1.0, 0.0, 1.0]),
    )
    config = DQNConfig(loss="squared", double=False)
    loss, _ = module.loss_fn(state.params, state.target_params, sample, None, parts, config)
    q = parts.network.values(state.params, sample.obs)[jnp.arange(4), sample.action]
    target = 1 + 0.9 * parts.network.values(state.target_params, sample.next_obs).max(-1)
    assert float(loss) == pytest.approx(float(((q - target) ** 2)[jnp.array([0, 1, 3])].mean()))
    shifted = sample._replace(reward=sample.reward.at[2].set(jnp.nan))
    again, _ = module.loss_fn(state.params, state.target_params, shifted, None, parts, config)
    assert float(again) == float(loss)
