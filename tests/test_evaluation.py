"""Evaluation: one whole episode per lane, fixed keys, no favour to short episodes."""

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

from jaxrl.algorithms.ppo import PPOConfig, ppo
from jaxrl.errors import ConfigError
from jaxrl.evaluation import evaluate, play_episodes
from jaxrl_envs import base


class Lottery(probes.Probe):
    """Episodes of 1 step (return 1) or of 9 (return 9), even odds: the mean return is 5."""

    def cue(self, key):
        return jnp.where(jax.random.bernoulli(key), 1.0, 9.0)

    def is_terminated(self, state, params):
        return state.time >= state.cue


def always_zero(state, obs, key, *, greedy=False):
    return jnp.zeros(obs.shape[:-1], jnp.int32)


def play(env, episodes=2000, **settings):
    run = jax.jit(
        lambda key: play_episodes(
            env,
            always_zero,
            (),
            env.default_params,
            key,
            num_episodes=episodes,
            max_steps=settings.get("max_steps", 10),
        )
    )
    return run(jax.random.key(settings.get("seed", 0)))


def test_short_episodes_are_not_favoured():
    out = play(Lottery())
    # The first 2000 to finish among restarting lanes would be nine short ones for a long one.
    assert float(out.returns.mean()) == pytest.approx(5.0, abs=0.3)
    np.testing.assert_array_equal(out.returns, out.lengths)
    assert bool(out.finished.all())


def test_unfinished_episodes_are_told():
    out = play(Lottery(), max_steps=4)
    np.testing.assert_array_equal(np.asarray(out.finished), np.asarray(out.lengths) == 1)
    assert int(out.lengths.max()) == 4


def test_nothing_is_counted_after_the_end():
    out = play(probes.ConstantReward(), episodes=5)
    np.testing.assert_array_equal(out.returns, 1.0)


def test_the_same_seed_gives_the_same_episodes(small_ppo, cartpole):
    states = jax.jit(jax.vmap(lambda key: small_ppo.init(key, cartpole[1], 1)))(
        jax.random.split(jax.random.key(0), 2)
    )
    a = evaluate(small_ppo, states, num_episodes=8, greedy=False, seed=1)
    b = evaluate(small_ppo, states, num_episodes=8, greedy=False, seed=1)
    np.testing.assert_array_equal(a.returns, b.returns)
    assert a.returns.shape == (2, 8) and a.per_seed.shape == (2,)
    other = evaluate(small_ppo, states, num_episodes=8, greedy=False, seed=2)
    assert not np.array_equal(a.returns, other.returns)


def test_statistics_are_frozen(cartpole):
    env, params = cartpole
    algorithm = ppo(env, PPOConfig(num_envs=2, hidden_sizes=(4,), normalize_obs=True))
    state = jax.jit(algorithm.init)(jax.random.key(0), params, 1)
    before = np.asarray(state.obs_stats.mean).copy()
    evaluate(algorithm, jax.tree.map(lambda x: x[None], state), num_episodes=3)
    np.testing.assert_array_equal(state.obs_stats.mean, before)


def test_no_time_limit_needs_max_steps(small_ppo):
    class Endless(probes.Probe):
        @property
        def default_params(self):
            return {}

        def is_truncated(self, state, params):
            return jnp.bool_(False)

    algorithm = small_ppo._replace(env=Endless())
    with pytest.raises(ConfigError, match="max_steps"):
        evaluate(algorithm, ())


def test_episodes_must_be_positive(small_ppo):
    with pytest.raises(ConfigError, match="num_episodes=0"):
        evaluate(small_ppo, (), base.EnvParams(), num_episodes=0)
