"""REINFORCE: its gradient against one that is a sum over all trajectories, and its switches."""

from types import SimpleNamespace

import enumeration
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import returns
from jaxrl.algorithms import reinforce as module
from jaxrl.algorithms.reinforce import ReinforceConfig, reinforce
from jaxrl.episodic import collect, masked_normalize, sample_baseline
from jaxrl.errors import ConfigError, UnknownNameError

GAMMA = 0.9
EXACT = dict(rtol=0, atol=1e-9)
PLAIN = ReinforceConfig.notes(num_envs=2)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def parts_of(config):
    """Parts of the real algorithm on the tabular world, with its tabular policy."""
    parts = reinforce(enumeration.Tabular(), config).init.args[0]
    return parts._replace(network=enumeration.network())


def estimate(theta, trajectory, config, values=0.0, change=lambda batch, trajectory: batch):
    """The algorithm's estimate of ∇J from a trajectory `[3, B]`."""
    parts = parts_of(config)
    params = enumeration.network(theta, values).init(None)
    state = SimpleNamespace(config=config, params=params, obs_stats=None)
    batch = change(module.make_batch(parts, state, trajectory), trajectory)
    return -jax.grad(lambda p: module.loss_fn(p, batch, parts, config)[0])(params["actor"])


def expectation(config, **settings):
    """The estimate from one episode, averaged over all of them with their probabilities."""
    theta = jnp.asarray(enumeration.THETA)
    one_by_one = jax.vmap(
        lambda t: estimate(theta, jax.tree.map(lambda x: x[:, None], t), config, **settings),
        in_axes=1,
    )
    weight = enumeration.probabilities(theta)
    return jnp.tensordot(weight, one_by_one(enumeration.all_trajectories()), 1)


def exact(gamma):
    return jax.grad(enumeration.expected_return)(jnp.asarray(enumeration.THETA), gamma)


def exact_settings(**changes):
    """The notes' settings at a discount in double precision."""
    return PLAIN.replace(**({"gamma": jnp.float64(GAMMA), "ent_coef": 0.0} | changes))


def test_the_world_adds_up(x64):
    """216 trajectories, their probabilities sum to 1, and J and ∇J are the same three ways."""
    theta = jnp.asarray(enumeration.THETA)
    weight = enumeration.probabilities(theta)
    assert weight.shape == (216,) and float(weight.sum()) == pytest.approx(1, abs=1e-12)
    trajectory = enumeration.all_trajectories()
    total = (GAMMA ** jnp.arange(3)[:, None] * trajectory.reward).sum(0)
    value = enumeration.expected_return(theta, GAMMA)
    np.testing.assert_allclose(weight @ total, value, rtol=1e-12)
    steps = 1e-5 * jnp.eye(theta.size).reshape(-1, *theta.shape)
    returns_at = jax.jit(jax.vmap(lambda t: enumeration.expected_return(t, GAMMA)))
    central = (returns_at(theta + steps) - returns_at(theta - steps)) / 2e-5
    np.testing.assert_allclose(central, exact(GAMMA).ravel(), **EXACT)


@pytest.mark.parametrize(
    "changes",
    [
        dict(gamma=1.0),
        dict(gamma_power_weighting=True),
        dict(gamma=1.0, reward_to_go=False),
        dict(reward_to_go=False),
    ],
    ids=str,
)
def test_expected_gradient_is_the_gradient(x64, changes):
    config = exact_settings(**changes)
    np.testing.assert_allclose(expectation(config), exact(config.gamma), **EXACT)


def test_without_the_power_of_gamma_it_is_another(x64):
    difference = jnp.abs(expectation(exact_settings()) - exact(GAMMA)).max()
    assert float(difference) == pytest.approx(0.05176, abs=1e-5)


def test_any_state_baseline_leaves_it_unchanged(x64):
    config = exact_settings(gamma_power_weighting=True, baseline="value")
    for values in (0.0, 3.0, np.random.default_rng(0).normal(0, 5, 12)):
        np.testing.assert_allclose(expectation(config, values=values), exact(GAMMA), **EXACT)


def test_the_td_error_is_exact_with_the_true_values_only(x64):
    config = exact_settings(gamma_power_weighting=True, baseline="value")
    true = enumeration.state_values(enumeration.THETA, GAMMA)

    def td(values):
        def change(batch, trajectory):
            delta = returns.td_errors(
                trajectory.reward,
                trajectory.obs @ values,
                trajectory.next_obs @ values,
                trajectory.terminated,
                config.gamma,
            )
            return batch._replace(advantage=delta * module.powers(config.gamma, delta))

        return expectation(config, values=values, change=change)

    np.testing.assert_allclose(td(true), exact(GAMMA), **EXACT)
    wrong = true + jnp.asarray(np.random.default_rng(1).normal(0, 1, 12))
    assert float(jnp.abs(td(wrong) - exact(GAMMA)).max()) > 1e-2


def test_step_mean_is_episode_sum_over_the_length(x64):
    whole = expectation(exact_settings())
    mean = expectation(exact_settings(loss_reduction="step_mean"))
    np.testing.assert_allclose(mean * enumeration.HORIZON, whole, **EXACT)


@pytest.mark.parametrize(
    ("baseline", "leave_one_out", "share"),
    [("mean", True, 1.0), ("time_mean", True, 1.0), ("time_mean", False, 0.5)],
)
def test_sample_means_leave_out_the_episode_or_shrink_the_gradient(
    x64, baseline, leave_one_out, share
):
    """Over all 216² pairs of episodes; a mean that includes the episode leaves (N-1)/N of it."""
    config = exact_settings(gamma=1.0, baseline=baseline, leave_one_out=leave_one_out)
    theta = jnp.asarray(enumeration.THETA)
    all_of_them, weight = enumeration.all_trajectories(), enumeration.probabilities(theta)

    def with_every_other(i):
        def pair(j):
            both = jax.tree.map(lambda x: x[:, jnp.stack([i, j])], all_of_them)
            return estimate(theta, both, config)

        return weight[i] * jnp.tensordot(weight, jax.vmap(pair)(jnp.arange(216)), 1)

    total = jax.jit(lambda: jax.lax.map(with_every_other, jnp.arange(216)).sum(0))()
    np.testing.assert_allclose(total, share * exact(1.0), **EXACT)


def test_the_real_sampler_agrees_and_the_baseline_lowers_the_variance(capsys):
    """131,072 episodes through `collect`; the bound is 4.5 standard errors of each component."""
    batch, batches = 1024, 128
    true = enumeration.state_values(enumeration.THETA, GAMMA)
    settings = dict(num_envs=batch, gamma=GAMMA, gamma_power_weighting=True)
    configs = {
        "none": ReinforceConfig.notes(**settings),
        "time_mean": ReinforceConfig.notes(**settings, baseline="time_mean", leave_one_out=True),
        "value": ReinforceConfig.notes(**settings, baseline="value"),
    }
    algorithm = reinforce(enumeration.Tabular(), configs["value"])
    parts = algorithm.init.args[0]._replace(network=enumeration.network(values=true))
    theta = jnp.asarray(enumeration.THETA, jnp.float32)

    def estimates(key):
        state = module.init(parts, key, algorithm.env.default_params)
        _, trajectory = collect(parts, state)
        return {n: estimate(theta, trajectory, c, values=true) for n, c in configs.items()}

    keys = jax.random.split(jax.random.key(0), batches)
    sampled = jax.jit(lambda keys: jax.lax.map(estimates, keys))(keys)
    variance = {}
    for name, each in sampled.items():
        error = np.abs(each.mean(0) - exact(GAMMA))
        assert (error <= 4.5 * each.std(0, ddof=1) / np.sqrt(batches)).all(), (name, error)
        variance[name] = batch * float(each.var(0, ddof=1).sum())
    with capsys.disabled():
        rounded = {name: round(value, 3) for name, value in variance.items()}
        print(f"\ngradient variance of one episode by baseline: {rounded}")
    assert variance["value"] < 0.5 * variance["none"]
    assert variance["time_mean"] < 0.7 * variance["none"]


def test_sample_baseline_by_hand():
    """Episodes of 2 and of 1 steps: credits 4, 2 and 7."""
    credit, valid = jnp.array([[4.0, 7.0], [2.0, 9.0]]), jnp.array([[True, True], [True, False]])

    def means(**settings):
        return np.asarray(sample_baseline(credit, valid, **settings))[np.asarray(valid)]

    np.testing.assert_allclose(means(each_time=False, leave_one_out=False), 13 / 3, rtol=1e-6)
    np.testing.assert_allclose(means(each_time=False, leave_one_out=True), [7, 3, 7])
    np.testing.assert_allclose(means(each_time=True, leave_one_out=False), [5.5, 5.5, 2])
    # At t = 1 the first episode is alone: there is nothing to compare it with.
    np.testing.assert_allclose(means(each_time=True, leave_one_out=True), [7, 4, 0])
    idle = jnp.zeros_like(valid)
    np.testing.assert_array_equal(
        sample_baseline(credit, idle, each_time=True, leave_one_out=True), 0
    )


def test_equal_advantages_are_normalised_to_exactly_zero():
    valid = jnp.arange(8) < 7
    x = jnp.where(valid, 0.1, 5.0)
    np.testing.assert_array_equal(masked_normalize(x, valid)[:7], 0.0)
    spread = masked_normalize(jnp.arange(8.0), valid)[:7]
    assert float(spread.mean()) == pytest.approx(0, abs=1e-6)
    assert float(spread.std()) == pytest.approx(1, abs=1e-6)


SMALL = dict(num_envs=4, hidden_sizes=(8,))


def test_rows_beyond_the_end_and_idle_seeds_change_nothing(cartpole):
    """Whatever a reward source wrote there, NaN included."""
    config = ReinforceConfig(
        **SMALL,
        max_episode_steps=40,
        baseline="value",
        normalize_obs=True,
        gamma_power_weighting=True,
        ent_coef=0.01,
        ent_coef_final=0.0,
    )
    algorithm = reinforce(cartpole[0], config)
    state = jax.jit(algorithm.init)(jax.random.key(0), cartpole[1], 10)
    learn, collect = jax.jit(algorithm.learn), jax.jit(algorithm.collect)
    collected, trajectory = collect(state)
    assert 0 < int(trajectory.valid.sum()) < trajectory.valid.size
    learned, metrics = learn(collected, trajectory)
    poisoned = trajectory._replace(
        reward=jnp.where(trajectory.valid, trajectory.reward, jnp.nan),
        next_obs=jnp.where(trajectory.valid[..., None], trajectory.next_obs, jnp.nan),
    )
    again, _ = learn(collected, poisoned)
    jax.tree.map(np.testing.assert_array_equal, learned.params, again.params)
    assert int(collected.steps.done) == int(trajectory.valid.sum())
    assert all(np.isfinite(m.total) for m in metrics.values())

    idle, nothing = collect(state.replace(steps=state.steps._replace(idle=jnp.bool_(True))))
    assert not nothing.valid.any() and int(idle.steps.done) == 0
    waited, metrics = learn(idle, nothing)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(waited.params))
    assert all(np.isfinite(m.total) for m in metrics.values())


def test_notes_configuration_is_the_estimator_alone():
    notes = ReinforceConfig.notes()
    assert notes.reward_to_go and notes.baseline == "none" and not notes.normalize_advantage
    assert notes.loss_reduction == "episode_sum" and notes.max_grad_norm is None
    assert ReinforceConfig.notes(gamma=1.0).gamma == 1.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(num_envs=1), "num_envs=1 plays no other"),
        (dict(num_envs=0), "num_envs=0"),
        (dict(gamma=1.1), "gamma=1.1"),
        (dict(reward_to_go=False, baseline="value"), "predicts what is still to come"),
        (dict(reward_to_go=False, gamma_power_weighting=True), "switch one of them off"),
        (dict(n_critic_updates=0), "n_critic_updates"),
        (dict(max_episode_steps=0), "max_episode_steps=0"),
        (dict(entropy_target=0.9), "entropy_target=0.9"),
        (dict(hidden_sizes=()), "hidden_sizes"),
    ],
)
def test_bad_settings_are_refused(cartpole, changes, words):
    with pytest.raises(ConfigError, match=words):
        reinforce(cartpole[0], ReinforceConfig(**changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(baseline="valeu"), "did you mean 'value'"),
        (dict(loss_reduction="step"), "step_mean"),
        (dict(activation="tahn"), "did you mean 'tanh'"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(cartpole, changes, words):
    with pytest.raises(UnknownNameError, match=words):
        reinforce(cartpole[0], ReinforceConfig(**changes))


def test_an_environment_without_a_limit_needs_one():
    class Endless(enumeration.Tabular):
        default_params = property(lambda self: ())

    with pytest.raises(ConfigError, match="max_episode_steps"):
        reinforce(Endless())
    assert reinforce(Endless(), ReinforceConfig(max_episode_steps=3)).steps_per_update == 64
