"""Gymnasium's environments in our stepping, evaluation and training."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl import make
from jaxrl.adapters.host import GymnasiumEnv, from_space
from jaxrl.errors import ConfigError, JaxrlError, MissingExtraError, SpaceError
from jaxrl.evaluation import evaluate, moved
from jaxrl.types import Algorithm
from jaxrl.vector import rollout, step_batch, vectorize
from jaxrl.wrappers import FrameStack


def balance(state, obs, key, *, greedy=False):
    """A policy for CartPole; `state` is the sign of its pushes: 1 balances, -1 topples."""
    lean = obs[..., 2] + 0.3 * obs[..., 3] + 0.02 * obs[..., 0] + 0.05 * obs[..., 1]
    return (state * lean > 0).astype(jnp.int32)


def policy_of(env, act=balance):
    """An algorithm of which only `act` is needed."""
    unused = dict.fromkeys(("init", "collect", "learn", "value", "config"), None)
    return Algorithm(name="hand", env=env, act=act, steps_per_update=1, **unused)


@pytest.fixture(scope="module")
def cartpole():
    return make("gymnasium:CartPole-v1")


def roll(env, params, num_envs, num_steps, policy, key=0, **reset):
    """A compiled rollout from fresh starts: the state before it, and the trajectory."""
    venv = vectorize(env, num_envs, **reset)
    state = jax.jit(venv.reset)(jax.random.key(key), params)
    play = jax.jit(
        lambda state: rollout(
            venv,
            params,
            state,
            lambda key: (),
            lambda obs, noise: (policy(obs), ()),
            jax.random.key(1),
            num_steps,
        )[1]
    )
    return state, jax.tree.map(np.asarray, play(state))


def test_a_rollout_is_gymnasiums_own(cartpole):
    """Episodes that topple, restarting in the same step, beside the same ones by hand."""
    env, params = cartpole
    state, steps = roll(env, params, 2, 40, lambda obs: balance(-1, obs, None))
    assert steps.terminated.sum(0).min() >= 2
    for lane in range(2):
        theirs = gymnasium.make("CartPole-v1")
        seen, _ = theirs.reset(seed=int(state.env.seed[lane]))
        for t in range(40):
            np.testing.assert_array_equal(steps.obs[t, lane], seen)
            seen, reward, terminated, truncated, _ = theirs.step(int(steps.action[t, lane]))
            # The observation that the episode ended with, from before the restart.
            np.testing.assert_array_equal(steps.next_obs[t, lane], seen)
            assert steps.reward[t, lane] == reward and steps.terminated[t, lane] == terminated
            assert steps.truncated[t, lane] == truncated
            if terminated:
                seen, _ = theirs.reset()


def test_a_time_limit_truncates_and_is_ours_to_set():
    env, params = make("gymnasium:CartPole-v1", max_steps_in_episode=7)
    _, steps = roll(env, params, 1, 15, lambda obs: balance(1, obs, None))
    assert np.flatnonzero(steps.truncated).tolist() == [6, 13] and not steps.terminated.any()


def test_whole_episodes_are_evaluated_from_starts_that_all_seeds_share(cartpole):
    algorithm = policy_of(cartpole[0])
    summary = evaluate(algorithm, jnp.array([1.0, -1.0, -1.0]), num_episodes=3)
    assert summary.returns.shape == (3, 3) and summary.finished.all()
    assert (summary.returns[0] == 500).all() and (summary.returns[1:] < 15).all()
    np.testing.assert_array_equal(summary.lengths, summary.returns)
    np.testing.assert_array_equal(summary.returns[1], summary.returns[2])
    again = evaluate(algorithm, jnp.array([-1.0]), num_episodes=3)
    np.testing.assert_array_equal(summary.returns[2], again.returns[0])


def test_seeds_collect_side_by_side(cartpole):
    """What an algorithm does with it: all seeds in one program, each in episodes of its own."""
    env, params = cartpole
    config = jaxrl.ActorCriticConfig(num_envs=3, num_steps=32, hidden_sizes=(8,))
    algorithm = jaxrl.a2c(env, config)
    keys = jax.random.split(jax.random.key(0), 2)
    states = jax.jit(jax.vmap(algorithm.init, (0, None, None)))(keys, params, 1)
    states, steps = jax.jit(jax.vmap(algorithm.collect))(states)
    assert steps.obs.shape == (2, 32, 3, 4) and steps.terminated.any()
    assert len(np.unique(steps.obs[:, 0, :, 0])) == 6
    ended = np.asarray(steps.terminated[:, :-1])
    np.testing.assert_array_equal(steps.obs[:, 1:][~ended], steps.next_obs[:, :-1][~ended])
    assert (np.abs(steps.obs[:, 1:][ended]) <= 0.05).all()
    with pytest.raises(ConfigError, match="gymnasium:CartPole-v1 cannot be resumed"):
        jaxrl.train(algorithm, params, total_steps=512, resume="runs/x")


@pytest.mark.slow
def test_what_is_learned_there_is_evaluated_in_both_worlds(cartpole):
    config = jaxrl.PPOConfig(num_envs=8, num_steps=128, learning_rate=1e-3)
    result = jaxrl.train(
        jaxrl.ppo(cartpole[0], config), cartpole[1], total_steps=100_000, seeds=2, eval_every=0
    )
    ours = evaluate(moved(result.info.algorithm, make("CartPole-v1")[0]), result.state)
    assert (result.final.per_seed > 400).all() and (ours.per_seed > 400).all()


def test_continuous_actions_are_clipped_to_their_bounds():
    env, params = make("gymnasium:Pendulum-v1")
    space = env.observation_space(params)
    assert space.shape == (3,) and space.dtype == np.float32
    step = jax.jit(lambda state, action: step_batch(env, jax.random.key(0), state, action, params))
    for asked, done in ((9.0, 2.0), (-9.0, -2.0)):
        after = [
            step(env.reset_batch(jax.random.key(3), params, 2)[1], jnp.full((2, 1), action))
            for action in (asked, done)
        ]
        np.testing.assert_array_equal(after[0][0], after[1][0])


def test_it_can_be_wrapped(cartpole):
    env = FrameStack(cartpole[0], 2)
    _, steps = roll(
        env, cartpole[1], 2, 30, lambda obs: balance(-1, obs[..., 4:], None), reset="pooled"
    )
    assert steps.terminated.any()
    stays = ~steps.terminated[:-1]
    np.testing.assert_array_equal(steps.obs[1:][stays], steps.next_obs[:-1][stays])
    np.testing.assert_array_equal(steps.obs[1:][~stays][:, :4], steps.obs[1:][~stays][:, 4:])


def test_a_start_can_be_played_often_and_what_follows_it_once(cartpole):
    env, params = cartpole
    start = env.reset_batch(jax.random.key(0), params, 1)[1]
    twice = jax.tree.map(lambda x: jnp.repeat(x, 2, 0), start)
    step = jax.jit(lambda s: step_batch(env, jax.random.key(0), s, jnp.ones(2, jnp.int32), params))
    obs, after, *_ = step(twice)
    np.testing.assert_array_equal(obs[0], obs[1])
    jax.block_until_ready(step(after))
    with pytest.raises(jax.errors.JaxRuntimeError, match="has gone on to step 2"):
        jax.block_until_ready(step(after))
    copied = jax.tree.map(lambda x: x[jnp.array([0, 0])], step(twice)[1])
    with pytest.raises(jax.errors.JaxRuntimeError, match="was copied"):
        jax.block_until_ready(step(copied))


def test_an_episode_that_has_ended_stays_so_and_pays_nothing():
    env, params = make("gymnasium:CartPole-v1", max_steps_in_episode=1)
    state = env.reset_batch(jax.random.key(0), params, 1)[1]
    for paid in (1.0, 0.0):
        _, state, reward, *_ = step_batch(env, jax.random.key(0), state, jnp.array([0]), params)
        assert reward.tolist() == [paid] and state.time.tolist() == [1]


def test_a_policy_for_something_else_is_refused(cartpole):
    with pytest.raises(SpaceError, match=r"on snake-v0, whose observations are .*\(15, 15, 3\)"):
        moved(policy_of(make("snake-v0")[0]), cartpole[0])
    with pytest.raises(SpaceError, match=r"actions are Box\(1,\); those of .* Discrete\(3\)"):
        moved(policy_of(make("gymnasium:MountainCarContinuous-v0")[0]), make("MountainCar-v0")[0])
    assert moved(policy_of(make("CartPole-v1")[0]), cartpole[0]).env is cartpole[0]


def test_what_gymnasium_cannot_make(monkeypatch):
    with pytest.raises(JaxrlError, match="Gymnasium cannot make 'NoSuch-v0'"):
        make("gymnasium:NoSuch-v0")
    with pytest.raises(JaxrlError, match=r"Gymnasium cannot make 'CartPole-v1': .*wheels"):
        make("gymnasium:CartPole-v1", wheels=4)

    def refuses(*args, **settings):
        raise AssertionError("gravity (current value: 3.0) must be between -12 and 0")

    monkeypatch.setattr(gymnasium, "make", refuses)
    with pytest.raises(JaxrlError, match=r"cannot make 'CartPole-v1': gravity .* between -12"):
        make("gymnasium:CartPole-v1")

    def without(*args, **settings):
        raise gymnasium.error.DependencyNotInstalled("pip install 'gymnasium[box2d]'")

    monkeypatch.setattr(gymnasium, "make", without)
    with pytest.raises(MissingExtraError, match=r"'CartPole-v1': pip install 'gymnasium\[box2d\]'"):
        make("gymnasium:CartPole-v1")


def test_gymnasiums_own_settings_are_handed_on():
    assert make("gymnasium:CartPole-v1", sutton_barto_reward=True)[0].arguments


def test_spaces():
    assert from_space(gymnasium.spaces.Discrete(3, start=1), "actions").n == 3
    wide = gymnasium.spaces.Box(-1, 1, (2,), np.float64)
    assert from_space(wide, "observations").dtype == np.float32
    for space in (gymnasium.spaces.MultiDiscrete([2, 2]), gymnasium.spaces.Discrete(3, start=1)):
        with pytest.raises(SpaceError, match="as observations: needed is a Discrete or a Box"):
            from_space(space, "observations")


def test_closing_lets_gymnasium_go():
    env = GymnasiumEnv("CartPole-v1")
    state = env.reset_batch(jax.random.key(0), env.default_params, 2)[1]
    step_batch(env, jax.random.key(0), state, jnp.array([0, 1]), env.default_params)
    env.close()
