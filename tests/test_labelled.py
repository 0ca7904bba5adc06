"""Rows whose reward is missing teach nothing: the mask, and what each learner makes of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_algorithms import SMALL, build

from jaxrl import group, objectives, returns
from jaxrl.errors import ConfigError

ON_POLICY = [
    name if name in ("ppo", "grpo") else pytest.param(name, marks=pytest.mark.slow)
    for name in ("ppo", "a2c", "trpo", "pqn", "reinforce", "grpo")
]


def test_known_returns_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    labelled, terminated, truncated = rng.random((3, 12, 5)) < [[[0.8]], [[0.2]], [[0.1]]]
    ours = returns.known_returns(*map(jnp.asarray, (labelled, terminated, truncated)))
    loop = np.zeros((12, 5), bool)
    for b in range(5):
        known = True
        for t in reversed(range(12)):
            ended = terminated[t, b] or truncated[t, b]
            known = labelled[t, b] and (ended or known)
            loop[t, b] = known
    np.testing.assert_array_equal(ours, loop)
    assert 0 < loop.sum() < labelled.sum()


def test_weighted_forms_are_the_plain_ones_of_the_rows_that_count():
    x, y = jnp.asarray(np.random.default_rng(1).normal(size=(2, 9)), jnp.float32)
    weight = jnp.array([1, 0, 1, 1, 0, 1, 1, 1, 0], jnp.float32)
    some = np.flatnonzero(weight)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)  # noqa: E731
    normalized = objectives.normalize_advantage(x.at[1].set(jnp.nan), weight)
    close(normalized[some], objectives.normalize_advantage(x[some]))
    assert (np.asarray(normalized)[[1, 4, 8]] == 0).all()
    close(
        objectives.explained_variance(x, y, weight),
        objectives.explained_variance(x[some], y[some]),
    )
    close(
        objectives.squared_value_loss(x, y, weight=weight),
        objectives.squared_value_loss(x[some], y[some]),
    )


@pytest.mark.parametrize("scale_rewards", ["group", "batch", "none"])
@pytest.mark.parametrize("baseline", ["group_mean", "leave_one_out"])
def test_a_missing_reward_is_left_out_of_its_group(baseline, scale_rewards):
    """Two groups of four of which each lacks one: what two groups of three would have given."""
    rewards = jnp.asarray(np.random.default_rng(2).normal(size=(2, 4)), jnp.float32)
    known = jnp.ones((2, 4), bool).at[:, 3].set(False)
    settings = dict(baseline=baseline, scale_rewards=scale_rewards)
    ours = group.group_advantages(rewards.at[:, 3].set(1e6), known, **settings)
    np.testing.assert_allclose(
        ours[:, :3], group.group_advantages(rewards[:, :3], **settings), rtol=1e-5, atol=1e-6
    )
    assert (ours[:, 3] == 0).all()
    one = known.at[:, 1:].set(False)
    assert (group.group_advantages(rewards, one, **settings) == 0).all()
    assert (group.group_advantages(rewards, jnp.zeros_like(known), **settings) == 0).all()


@pytest.fixture(scope="module", params=ON_POLICY)
def learner(request, cartpole):
    """An algorithm's `learn`, compiled once, a state, and a trajectory."""
    algorithm = build(request.param, cartpole[0])
    state = algorithm.init(jax.random.key(0), cartpole[1], 20)
    state, trajectory = jax.jit(algorithm.collect)(state)
    return request.param, jax.jit(algorithm.learn), state, trajectory


def test_what_is_missing_moves_nothing(learner):
    """Its gradient is 0: whatever stands in its place, the same parameters come out."""
    name, learn, state, trajectory = learner
    labelled = jnp.ones_like(trajectory.terminated).at[3, ::2].set(False)
    some = trajectory._replace(labelled=labelled)
    other = some._replace(reward=jnp.where(labelled, some.reward, 1e6))
    first, second = learn(state, some)[0], learn(state, other)[0]
    for a, b in zip(jax.tree.leaves(first.params), jax.tree.leaves(second.params), strict=True):
        np.testing.assert_array_equal(a, b)
    assert moved(first, state)

    nothing = learn(state, some._replace(labelled=jnp.zeros_like(labelled)))[0]
    assert not moved(nothing, state), name


def test_with_every_label_it_learns_as_without_a_mask(learner):
    name, learn, state, trajectory = learner
    plain = learn(state, trajectory)[0]
    all_there = learn(state, trajectory._replace(labelled=jnp.ones_like(trajectory.terminated)))[0]
    for a, b in zip(jax.tree.leaves(plain.params), jax.tree.leaves(all_there.params), strict=True):
        # TRPO's conjugate gradients blow rounding up.
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 if name == "trpo" else 1e-5)


def moved(after, before):
    pairs = zip(jax.tree.leaves(after.params), jax.tree.leaves(before.params), strict=True)
    return any(bool((a != b).any()) for a, b in pairs)


def test_statistics_of_returns_need_every_reward(cartpole):
    assert "ppo" in SMALL
    algorithm = build("ppo", cartpole[0], normalize_reward=True)
    state = algorithm.init(jax.random.key(0), cartpole[1], 1)
    state, trajectory = jax.eval_shape(algorithm.collect, state)
    with pytest.raises(ConfigError, match="normalize_reward=False"):
        jax.eval_shape(algorithm.learn, state, trajectory._replace(labelled=trajectory.terminated))
