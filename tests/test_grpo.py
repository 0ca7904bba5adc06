"""GRPO on environments: groups, the reference policy, the loss on real episodes, bad settings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import group
from jaxrl.algorithms import grpo as module
from jaxrl.algorithms.grpo import GRPOConfig, grpo
from jaxrl.environment import make
from jaxrl.errors import ConfigError, UnknownNameError
from jaxrl.types import PolicyState

SMALL = dict(num_groups=2, num_generations=3, hidden_sizes=(8,), max_episode_steps=40)


@pytest.fixture(scope="module")
def collected(cartpole):
    """The algorithm with a reference, a state that has moved from it, and its next episodes."""
    config = GRPOConfig.notes(**SMALL, learning_rate=0.05)
    algorithm = grpo(cartpole[0], config)
    state = jax.jit(algorithm.init)(jax.random.key(0), cartpole[1], 10)
    update = jax.jit(lambda s: algorithm.learn(*algorithm.collect(s)))
    moved, _ = update(state)
    after, trajectory = jax.jit(algorithm.collect)(moved)
    return algorithm, state, after, trajectory


def with_config(algorithm, **changes):
    """Its parts, with other settings of the loss."""
    parts = algorithm.init.args[0]
    return parts._replace(config=parts.config.replace(**changes))


def loss_and_grad(algorithm, state, trajectory, params=None, **changes):
    parts = with_config(algorithm, **changes)
    batch, _ = module.make_batch(parts, state, trajectory)
    params = state.params if params is None else params
    loss = lambda p: module.loss_fn(p, batch, parts, parts.config, state.reference)  # noqa: E731
    return jax.value_and_grad(loss, has_aux=True)(params)


def test_a_group_begins_in_one_state_and_goes_its_own_ways(collected):
    _, _, _, trajectory = collected
    starts = np.asarray(trajectory.obs[0]).reshape(2, 3, 4)
    np.testing.assert_array_equal(starts, np.broadcast_to(starts[:, :1], starts.shape))
    assert not np.array_equal(starts[0, 0], starts[1, 0])
    actions = np.asarray(trajectory.action)[:8]
    assert len({tuple(column) for column in actions.T}) > 1
    assert 0 < int(trajectory.valid.sum()) < trajectory.valid.size


def test_advantages_are_those_of_the_returns(collected):
    algorithm, _, state, trajectory = collected
    lengths = np.asarray(trajectory.valid.sum(0), np.float32)  # CartPole's return
    parts = with_config(algorithm, advantage_length_norm=False, loss_type="grpo")
    batch, metrics = module.make_batch(parts, state, trajectory)
    expected = group.group_advantages(jnp.asarray(lengths).reshape(2, 3)).reshape(6, 1)
    np.testing.assert_allclose(batch.advantage, expected, rtol=1e-5)
    assert float(metrics["group/zero_std_fraction"].value) == 0
    # The notes' 1/L: on a task where the return is the length, the best episode's steps weigh
    # least of all.
    notes, _ = module.make_batch(algorithm.init.args[0], state, trajectory)
    np.testing.assert_allclose(notes.advantage, expected / lengths[:, None], rtol=1e-5)


def test_the_notes_form_is_the_published_one_on_episodes(collected):
    algorithm, _, state, trajectory = collected
    _, notes = loss_and_grad(algorithm, state, trajectory)
    _, published = loss_and_grad(
        algorithm, state, trajectory, advantage_length_norm=False, loss_type="grpo"
    )
    scale = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(published))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * scale),
        notes,
        published,
    )


def test_the_reference_is_the_policy_of_the_start_and_stays(collected, cartpole):
    algorithm, start, state, trajectory = collected
    jax.tree.map(np.testing.assert_array_equal, state.reference.params, start.params)
    (_, metrics), _ = loss_and_grad(algorithm, state, trajectory)
    assert float(metrics["policy/kl_to_reference"].value) > 1e-3
    (_, metrics), _ = loss_and_grad(algorithm, state, trajectory, params=start.params)
    assert float(metrics["policy/kl_to_reference"].value) == pytest.approx(0, abs=1e-6)

    given = PolicyState(state.params, None)
    other = grpo(cartpole[0], algorithm.config, reference=given)
    fresh = jax.jit(other.init)(jax.random.key(1), cartpole[1], 10)
    jax.tree.map(np.testing.assert_array_equal, fresh.reference.params, state.params)
    wide = grpo(cartpole[0], algorithm.config.replace(hidden_sizes=(9,)), reference=given)
    with pytest.raises(ConfigError, match="same hidden_sizes"):
        jax.eval_shape(wide.init, jax.random.key(1), cartpole[1], 10)


def test_every_kl_estimator_runs_on_episodes(collected):
    """The sampled ones near the exact one: their mean over the steps is an estimate of it."""
    algorithm, _, state, trajectory = collected
    kl = {}
    for name in ("exact", "k1", "k2", "k3", "k3_is"):
        (loss, metrics), _ = loss_and_grad(algorithm, state, trajectory, kl_estimator=name)
        kl[name] = float(metrics["policy/kl_to_reference"].value)
        assert np.isfinite(loss)
    assert kl["k2"] == pytest.approx(kl["exact"], rel=0.5)
    assert kl["k3"] == pytest.approx(kl["exact"], rel=0.5)
    assert kl["k3"] == pytest.approx(kl["k3_is"], rel=1e-4)  # the policy that sampled: ρ = 1


def test_what_lies_beyond_the_end_and_idle_seeds_change_nothing(collected):
    algorithm, _, state, trajectory = collected
    learn, collect = jax.jit(algorithm.learn), jax.jit(algorithm.collect)
    learned, metrics = learn(state, trajectory)
    poisoned = trajectory._replace(
        reward=jnp.where(trajectory.valid, trajectory.reward, jnp.nan),
        next_obs=jnp.full_like(trajectory.next_obs, jnp.nan),
    )
    again, _ = learn(state, poisoned)
    jax.tree.map(np.testing.assert_array_equal, learned.params, again.params)
    assert float(metrics["loss/total"].count) == algorithm.config.num_iterations

    idle, nothing = collect(state.replace(steps=state.steps._replace(idle=jnp.bool_(True))))
    assert not nothing.valid.any()
    waited, metrics = learn(idle, nothing)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(waited.params))
    assert all(np.isfinite(m.total) for m in metrics.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        dict(
            importance_sampling_level="sequence",
            baseline="leave_one_out",
            scale_rewards="batch",
            loss_type="dapo",
            epsilon_high=0.28,
            delta=2.0,
        ),
        dict(
            squash=True,
            entropy_estimator="sample",
            entropy_target=0.5,
            normalize_obs=True,
            beta=0.1,
            reference_policy="frozen",
        ),
    ],
    ids=["sequence", "continuous"],
)
def test_switches_run(cartpole, changes):
    env, params = make("Pendulum-v1") if changes.get("squash") else cartpole
    algorithm = grpo(env, GRPOConfig(**(SMALL | changes | {"max_episode_steps": 8})))
    state = jax.jit(algorithm.init)(jax.random.key(0), params, 2)
    state, metrics = jax.jit(lambda s: algorithm.learn(*algorithm.collect(s)))(state)
    assert all(np.isfinite(m.total) for m in metrics.values())
    if changes.get("normalize_obs"):
        assert float(state.obs_stats.count) == int(state.steps.done) == 48
        assert float(state.reference.obs_stats.count) == 0  # frozen, its statistics too


def test_notes_configuration():
    notes = GRPOConfig.notes()
    assert notes.advantage_length_norm and notes.loss_type == "sum"
    assert notes.scale_rewards == "group" and notes.beta == 0.04
    assert notes.kl_estimator == "exact" and notes.reference_policy == "frozen"
    assert GRPOConfig.notes(num_generations=16).num_generations == 16


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(num_generations=1), "num_generations=1 is out of range"),
        (dict(num_groups=0), "num_groups=0"),
        (dict(epsilon=0.0), "epsilon=0.0"),
        (dict(epsilon=1.5), "epsilon=1.5"),
        (dict(epsilon_high=-0.1), "epsilon_high=-0.1"),
        (dict(delta=1.1), "delta=1.1 lies within the clip, which ends at 1.2"),
        (dict(beta=0.04), "use reference_policy='frozen'"),
        (dict(beta=-1.0, reference_policy="frozen"), "beta=-1.0"),
        (dict(loss_type="grpo", advantage_length_norm=True), "'grpo' divides again"),
        (dict(loss_type="dr_grpo", advantage_length_norm=True), "'dr_grpo' divides again"),
        (dict(num_iterations=0), "num_iterations=0"),
        (dict(entropy_target=0.9), "entropy_target=0.9"),
    ],
)
def test_bad_settings_are_refused(cartpole, changes, words):
    with pytest.raises(ConfigError, match=words):
        grpo(cartpole[0], GRPOConfig(**changes))


def test_a_reference_that_nothing_would_keep_is_refused(cartpole):
    with pytest.raises(ConfigError, match="reference_policy='none' keeps none"):
        grpo(cartpole[0], GRPOConfig(), reference=PolicyState({}, None))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(loss_type="drgrpo"), "did you mean 'dr_grpo'"),
        (dict(baseline="mean"), "unknown baseline"),
        (dict(scale_rewards="groups"), "did you mean 'group'"),
        (dict(importance_sampling_level="tokens"), "did you mean 'token'"),
        (dict(kl_estimator="k4"), "unknown kl_estimator"),
        (dict(reference_policy="frosen"), "did you mean 'frozen'"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(cartpole, changes, words):
    with pytest.raises(UnknownNameError, match=words):
        grpo(cartpole[0], GRPOConfig(**changes))
