"""What every algorithm of the table must pass. A new row gets these tests for nothing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

from jaxrl import rewards
from jaxrl.algorithms import ALGORITHMS
from jaxrl.run.checkpoint import Checkpointer
from jaxrl.update import initial_carry, make_train, make_update, run_updates

SMALL = {
    "ppo": dict(num_envs=8, num_steps=16, hidden_sizes=(16,), num_minibatches=2),
    "a2c": dict(num_envs=8, num_steps=5, hidden_sizes=(16,)),
    "trpo": dict(num_envs=8, num_steps=16, hidden_sizes=(16,), num_minibatches=2),
    "reinforce": dict(num_envs=8, hidden_sizes=(16,), max_episode_steps=40),
    "grpo": dict(num_groups=2, num_generations=4, hidden_sizes=(16,), max_episode_steps=40),
    "dqn": dict(
        num_envs=8,
        num_steps=4,
        hidden_sizes=(16,),
        buffer_size=500,
        batch_size=16,
        replay_ratio=1 / 16,
        learning_starts=64,
    ),
    "pqn": dict(num_envs=8, num_steps=16, hidden_sizes=(16,), num_minibatches=2),
    "sac": dict(
        num_envs=8,
        num_steps=4,
        hidden_sizes=(16,),
        buffer_size=500,
        batch_size=16,
        replay_ratio=1 / 16,
        learning_starts=64,
    ),
}
"""Sizes that compile quickly."""

LEARNING = {
    "ppo": dict(learning_rate=5e-3, gamma=0.9, gae_lambda=0.9),
    "a2c": dict(learning_rate=5e-3, gamma=0.9, gae_lambda=0.9, optimizer="adam"),
    "trpo": dict(learning_rate=5e-3, gamma=0.9, gae_lambda=0.9, cg_max_steps=5),
    "reinforce": dict(
        num_envs=64,
        max_episode_steps=None,
        baseline="value",
        gamma=0.9,
        learning_rate=1e-2,
        critic_learning_rate=1e-2,
        n_critic_updates=8,
    ),
    "grpo": dict(num_groups=8, max_episode_steps=None, learning_rate=5e-3),
    "dqn": dict(
        learning_rate=1e-2,
        learning_rate_final=0.0,
        gamma=0.9,
        activation="tanh",
        replay_ratio=1 / 8,
        buffer_size=5000,
        batch_size=32,
        target_period=5,
    ),
    "pqn": dict(learning_rate=1e-2, gamma=0.9, layer_norm=False, activation="tanh"),
    "sac": dict(
        learning_rate=1e-2,
        learning_rate_final=0.0,
        gamma=0.9,
        activation="tanh",
        replay_ratio=1 / 8,
        buffer_size=5000,
        batch_size=32,
        tau=0.05,
        ent_coef=0.01,
        learn_ent_coef=False,
    ),
}
"""Settings for the probes, whose values are worked out at γ = 0.9."""

PLANNED = {"reinforce": 20, "grpo": 20}
"""Steps of a CartPole episode: so many planned updates are about one, where it plays them whole."""

STEPS = 25_000
"""Environment steps of every probe; those whose updates play whole episodes need half as many."""


def probe_steps(name):
    return STEPS // 2 if name in PLANNED else STEPS


each_algorithm = pytest.mark.parametrize("name", ALGORITHMS)


def build(name, env, **changes):
    entry = ALGORITHMS[name]
    return entry.build(env, entry.config(**(SMALL[name] | changes)))


@pytest.fixture(scope="module", params=ALGORITHMS)
def on_cartpole(request, cartpole):
    """An algorithm on CartPole, and its update of four seeds compiled once for all tests."""
    algorithm = build(request.param, cartpole[0])
    source = rewards.environment()
    update = make_update(algorithm, source)
    start = jax.jit(lambda keys: initial_carry(algorithm, source, keys, cartpole[1], 10))
    planned = PLANNED.get(request.param, 1)
    many = jax.jit(lambda carry, n: run_updates(update, carry, n * planned))
    return algorithm, start, many


def keys(*seeds):
    return jnp.stack([jax.random.key(seed) for seed in seeds])


@pytest.fixture(scope="module", params=ALGORITHMS)
def on_probes(request):
    """An algorithm, trained on every probe in one program; states `[probe]`."""
    name = request.param
    continuous = "discrete" not in ALGORITHMS[name].actions
    return *on_all_probes(name, LEARNING[name], continuous), continuous


def on_all_probes(name, settings, continuous=False):
    """The algorithm, and its train states `[probe]` after training."""
    algorithm = build(name, probes.AnyProbe(continuous), **settings)
    kinds = jnp.arange(len(probes.PROBES))
    params = probes.WhichProbe(max_steps_in_episode=jnp.full_like(kinds, 10), kind=kinds)
    train = jax.jit(jax.vmap(make_train(algorithm, probe_steps(name), num_points=1), (None, 0)))
    return algorithm, train(jax.random.key(0), params)[0]


def check_probe(algorithm, state, probe, continuous):
    if algorithm.value is None and not probe.best:
        pytest.skip("asks a critic, and there is none")
    for obs, value in probe.values if algorithm.value is not None else ():
        learned = float(algorithm.value(state, jnp.array([obs])))
        assert learned == pytest.approx(value, abs=0.1 * max(1.0, abs(value))), (obs, learned)
    for obs, action in probe.best:
        chosen = algorithm.act(state, jnp.array([obs]), jax.random.key(1), greedy=True)
        good = float(chosen[0]) > 0 if continuous else int(chosen) == 1
        assert good == (action > 0), (obs, chosen)


@pytest.mark.parametrize("probe", probes.PROBES, ids=lambda p: p.__name__)
def test_solves_probe(on_probes, probe):
    algorithm, states, continuous = on_probes
    state = jax.tree.map(lambda x: x[probes.PROBES.index(probe)], states)
    check_probe(algorithm, state, probe, continuous)


VARIANTS = {
    "reinforce, time_mean": dict(LEARNING["reinforce"], baseline="time_mean"),
    "reinforce, total return": dict(
        LEARNING["reinforce"], baseline="mean", reward_to_go=False, gamma=1.0
    ),
    "a2c, one step": dict(LEARNING["a2c"], num_steps=1, gae_lambda=0.0),
    "a2c, residual": dict(LEARNING["a2c"], stop_target_gradients=False),
    "a2c, V-trace behind by two": dict(LEARNING["a2c"], vtrace=True, policy_lag=2),
    "trpo, natural gradient": dict(LEARNING["trpo"], line_search=False),
    "ppo, penalty": dict(LEARNING["ppo"], surrogate="kl_penalized"),
    "grpo, z-scores": dict(LEARNING["grpo"], scale_rewards="group", loss_type="grpo"),
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_solves_probes(variant):
    algorithm, states = on_all_probes(variant.partition(",")[0], VARIANTS[variant])
    for i, probe in enumerate(probes.PROBES):
        if algorithm.value is not None or probe.best:
            check_probe(algorithm, jax.tree.map(lambda x, i=i: x[i], states), probe, False)


@pytest.mark.parametrize(
    "name",
    [n if n in ("ppo", "sac") else pytest.param(n, marks=pytest.mark.slow) for n in ALGORITHMS],
)
def test_solves_probe_with_continuous_actions(name):
    if "continuous" not in ALGORITHMS[name].actions:
        pytest.skip("takes discrete actions alone")
    env = probes.ActionObservationReward(continuous=True)
    algorithm = build(name, env, **LEARNING[name])
    train = jax.jit(make_train(algorithm, probe_steps(name), num_points=1))
    state = train(jax.random.key(0), env.default_params)[0]
    check_probe(algorithm, state, probes.ActionObservationReward, continuous=True)


def test_seeds_know_nothing_of_each_other(on_cartpole):
    """The same seed among others, in another place: the same parameters."""
    _, start, many = on_cartpole
    batch = many(start(keys(3, 1, 4, 2)), 5)[0].train
    other = many(start(keys(4, 7, 8, 9)), 5)[0].train
    for a, b in zip(jax.tree.leaves(other.params), jax.tree.leaves(batch.params), strict=True):
        np.testing.assert_allclose(a[0], b[2], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_seed_alone_is_seed_in_batch(on_cartpole):
    _, start, many = on_cartpole
    batch = many(start(keys(3, 1, 4, 2)), 5)[0].train
    alone = many(start(keys(4)), 5)[0].train
    for a, b in zip(jax.tree.leaves(alone.params), jax.tree.leaves(batch.params), strict=True):
        np.testing.assert_allclose(a[0], b[2], rtol=1e-5, atol=1e-6)


def test_different_keys_give_different_parameters(on_cartpole):
    _, start, many = on_cartpole
    before = start(keys(0, 1, 2, 3))
    after = many(before, 5)[0]
    for state in (before.train, after.train):
        flat = np.concatenate([x.reshape(4, -1) for x in jax.tree.leaves(state.params)], axis=1)
        for i in range(4):
            for j in range(i):
                assert not np.array_equal(flat[i], flat[j])


def test_learn_keeps_structure_and_types(on_cartpole):
    algorithm, start, _ = on_cartpole
    state = jax.tree.map(lambda x: x[0], start(keys(0, 1, 2, 3)).train)
    collected, trajectory = jax.eval_shape(algorithm.collect, state)
    learned, metrics = jax.eval_shape(algorithm.learn, collected, trajectory)
    given, got = jax.eval_shape(lambda: state), learned
    assert jax.tree.structure(given) == jax.tree.structure(got)
    for a, b in zip(jax.tree.leaves(given), jax.tree.leaves(got), strict=True):
        assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, b.weak_type)
    assert all(m.total.shape == () and m.total.dtype == jnp.float32 for m in metrics.values())
    assert any(metric.startswith("loss/") for metric in metrics)


def test_metrics_do_not_grow_with_the_run(on_cartpole):
    _, start, many = on_cartpole
    short = jax.eval_shape(lambda c: many(c, 1), start(keys(0)))
    long = jax.eval_shape(lambda c: many(c, 10**6), start(keys(0)))
    assert jax.tree.map(lambda x: x.shape, short) == jax.tree.map(lambda x: x.shape, long)


@pytest.mark.exact
def test_updates_are_the_same_bit_for_bit_with_a_checkpoint_between_them(on_cartpole, tmp_path):
    _, start, many = on_cartpole
    begin = start(keys(3, 1, 4, 2))
    once = many(begin, 4)[0]
    checkpoints = Checkpointer(tmp_path)
    checkpoints.save(1, many(begin, 1)[0])
    twice = many(checkpoints.restore(once), 3)[0]
    jax.tree.map(np.testing.assert_array_equal, _bits(once), _bits(twice))
    assert (once.train.update > 1).all()
    # What adapts its type cannot be kept in a file: the program would be compiled again.
    assert not any(jax.tree.leaves(jax.tree.map(lambda x: getattr(x, "weak_type", False), begin)))


def test_acts_on_any_leading_shape(on_cartpole):
    algorithm, start, _ = on_cartpole
    state = jax.tree.map(lambda x: x[0], start(keys(0, 1, 2, 3)).train)
    for leading in ((), (3,), (2, 3)):
        action = algorithm.act(state, jnp.zeros((*leading, 4)), jax.random.key(0))
        assert action.shape == leading


@each_algorithm
def test_every_field_of_the_config_is_documented(name):
    import inspect

    source = inspect.getsource(ALGORITHMS[name].config)
    for field in dataclasses.fields(ALGORITHMS[name].config):
        line = source.index(f"    {field.name}:")
        assert source[line:].split("\n")[1].strip().startswith('"""'), field.name


def _bits(carry):
    """Typed keys cannot be compared as they are."""
    is_key = lambda x: jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)  # noqa: E731
    return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, carry)
