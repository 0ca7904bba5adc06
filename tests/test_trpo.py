"""TRPO in double precision against dense matrices and against sb3-contrib; its invariants."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxrl.advantages import Batch
from jaxrl.algorithms import trpo as module
from jaxrl.algorithms.trpo import TRPOConfig, trpo
from jaxrl.distributions import Categorical, DiagonalGaussian, TanhGaussian
from jaxrl.environment import make
from jaxrl.errors import ConfigError

GOLDEN = Path(__file__).parent / "golden" / "trpo.npz"
INPUTS, HIDDEN = 3, 5
KINDS = ["categorical", "gaussian", "squashed"]


@pytest.fixture(autouse=True, scope="module")
def x64():
    with jax.enable_x64(True):
        yield


def tiny_policy(kind, outputs=2):
    """`(theta [P], obs [N, 3]) -> distributions`: a tanh network, parameters in torch's order."""
    log_std_size = 0 if kind == "categorical" else outputs
    sizes = [log_std_size, HIDDEN * INPUTS, HIDDEN, outputs * HIDDEN, outputs]
    box = (-jnp.ones(outputs), jnp.ones(outputs))

    def policy(theta, obs):
        log_std, w1, b1, w2, b2 = jnp.split(theta, np.cumsum(sizes)[:-1])
        hidden = jnp.tanh(obs @ w1.reshape(HIDDEN, INPUTS).T + b1)
        last = hidden @ w2.reshape(outputs, HIDDEN).T + b2
        if kind == "categorical":
            return Categorical.from_logits(last)
        return (TanhGaussian if kind == "squashed" else DiagonalGaussian)(last, log_std, *box)

    return policy, sum(sizes)


def tiny_problem(kind, rows=12):
    """A policy, its parameters, and a batch; everything drawn by numpy, which compiles nothing."""
    policy, size = tiny_policy(kind)
    rng = np.random.default_rng(0)
    theta = jnp.asarray(0.5 * rng.normal(size=size))
    obs, advantage = (
        jnp.asarray(rng.normal(size=(rows, INPUTS))),
        jnp.asarray(rng.normal(size=rows)),
    )
    discrete = kind == "categorical"
    action = rng.integers(2, size=rows) if discrete else rng.normal(size=(rows, 2))
    zeros = jnp.zeros(rows)
    return policy, theta, Batch(obs, jnp.asarray(action), zeros, zeros, advantage, zeros)


def dense_fisher(policy, theta, obs, damping=0.0):
    product = module.fisher_vector_product(lambda t: policy(t, obs), theta, len(obs), damping)
    return jax.vmap(product)(jnp.eye(theta.size))


@pytest.mark.parametrize("kind", KINDS)
def test_fisher_vector_products_are_the_hessian_of_either_divergence(kind):
    policy, theta, batch = tiny_problem(kind)

    @jax.jit
    def matrices(theta):
        old = policy(theta, batch.obs)
        forward = jax.hessian(lambda t: old.kl_divergence(policy(t, batch.obs)).mean())
        backward = jax.hessian(lambda t: policy(t, batch.obs).kl_divergence(old).mean())
        return dense_fisher(policy, theta, batch.obs), forward(theta), backward(theta)

    ours, forward, backward = matrices(theta)
    np.testing.assert_allclose(ours, forward, rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours, backward, rtol=0, atol=1e-10)
    assert np.linalg.eigvalsh(ours).min() > -1e-12


@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
def test_fisher_matrix_is_the_mean_square_of_the_score(kind):
    """Over all actions; for the Gaussian by a quadrature that is exact for such polynomials."""
    policy, theta, batch = tiny_problem(kind, rows=4)

    def score(obs, action):
        return jax.grad(lambda t: policy(t, obs[None]).log_prob(action[None])[0])(theta)

    def of_row(obs):
        old = policy(theta, obs[None])
        if kind == "categorical":
            actions, weights = jnp.arange(2), jnp.exp(old.log_probs[0])
        else:
            nodes, w = np.polynomial.hermite_e.hermegauss(6)
            grid = np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2)
            actions = old.mean[0] + jnp.exp(old.log_std) * grid
            weights = jnp.asarray(np.outer(w, w).reshape(-1) / (2 * np.pi))
        scores = jax.vmap(score, (None, 0))(obs, actions)
        return jnp.einsum("a,ai,aj->ij", weights, scores, scores)

    @jax.jit
    def matrices(obs):
        return dense_fisher(policy, theta, obs), jax.vmap(of_row)(obs).mean(0)

    np.testing.assert_allclose(*matrices(batch.obs), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
def test_natural_gradient_is_the_dense_solution(kind):
    """The step without line search, against F built and solved: length and direction."""
    policy, theta, batch = tiny_problem(kind)
    config = TRPOConfig(line_search=False, cg_max_steps=theta.size, cg_damping=0.1)

    def surrogate(t):
        old = policy(theta, batch.obs)
        return module.objective(policy(t, batch.obs), old, batch, config)[0]

    @jax.jit
    def both(theta):
        new, step = module.policy_step(policy, theta, batch, config)
        fisher = dense_fisher(policy, theta, batch.obs, config.cg_damping)
        return new, step, jax.grad(surrogate)(theta), fisher

    new, step, gradient, fisher = map(lambda x: jax.tree.map(np.asarray, x), both(theta))
    direction = np.linalg.solve(fisher, gradient)
    expected = np.sqrt(2 * config.target_kl / (gradient @ direction)) * direction
    error = np.linalg.norm(new - theta - expected) / np.linalg.norm(expected)
    assert error < 1e-6
    assert step.fraction == 1 and step.gain > 0


def test_undamped_step_does_not_depend_on_how_parameters_are_written():
    policy, theta, batch = tiny_problem("gaussian", rows=64)
    config = TRPOConfig(line_search=False, cg_max_steps=500, cg_damping=0.0)
    noise = np.random.default_rng(1).normal(size=(theta.size, theta.size))
    mix = np.eye(theta.size) + 0.05 * noise

    @jax.jit
    def step(mix, phi):
        return module.policy_step(lambda p, obs: policy(mix @ p, obs), phi, batch, config)[0]

    plain = step(np.eye(theta.size), theta)
    other = mix @ np.asarray(step(mix, np.linalg.solve(mix, theta)))
    assert np.linalg.norm(other - plain) < 1e-4 * np.linalg.norm(plain - theta)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def golden_case(golden, name):
    case = {k.partition("/")[2]: jnp.asarray(v) for k, v in golden.items() if f"{name}/" in k}
    zeros = jnp.zeros(len(case["obs"]))
    obs = case["obs"].astype(jnp.float64)
    batch = Batch(obs, case["action"], zeros, zeros, case["advantage"], zeros)
    config = as_doubles(
        TRPOConfig(target_kl=case["target_kl"], cg_damping=case["cg_damping"], cg_max_steps=60)
    )
    return case, batch, config


def as_doubles(config):
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), config)


@functools.cache
def golden_step(kind):
    """One program for all cases of a kind: numbers are traced."""
    policy, _ = tiny_policy(kind, 2 if kind == "categorical" else 1)

    @jax.jit
    def step(theta, batch, config, direction):
        old = policy(theta, batch.obs)
        product = module.fisher_vector_product(
            lambda t: policy(t, batch.obs), theta, len(batch.obs), config.cg_damping
        )
        gradient = jax.grad(
            lambda t: module.objective(policy(t, batch.obs), old, batch, config)[0]
        )(theta)
        ours = {
            "gradient": gradient,
            "direction": module.conjugate_gradients(product, gradient, config.cg_max_steps),
            "product": product(direction),
        }
        return *module.policy_step(policy, theta, batch, config), ours

    return step


@pytest.mark.parametrize(
    ("name", "backtracks"),
    [("categorical", 0), ("categorical_far", 4), ("gaussian", 0), ("gaussian_far", 5)],
)
def test_update_is_that_of_sb3_contrib(golden, name, backtracks):
    case, batch, config = golden_case(golden, name)
    theta = case["before"]
    program = golden_step(name.partition("_")[0])
    new, step, ours = program(theta, batch, config, case["direction"])
    assert float(step.fraction) == pytest.approx(0.8**backtracks)
    theirs = np.asarray(case["after"] - theta)
    assert np.linalg.norm(np.asarray(new - theta) - theirs) < 1e-4 * np.linalg.norm(theirs)
    np.testing.assert_allclose(ours["product"], case["product"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours["gradient"], case["gradient"], rtol=1e-9, atol=1e-9)
    # Theirs starts from noise and stops before its residual is all gone.
    error = np.linalg.norm(ours["direction"] - case["direction"])
    assert error < 1e-4 * np.linalg.norm(case["direction"])


@pytest.mark.parametrize("trouble", ["no try is good enough", "no gradient", "not a number"])
def test_refused_step_leaves_parameters_bit_for_bit(golden, trouble):
    case, batch, config = golden_case(golden, "categorical_far")
    if trouble == "no try is good enough":  # the first is too long, and none is shorter
        config = config.replace(line_search_shrinking_factor=jnp.float64(1.0))
    elif trouble == "no gradient":
        batch = batch._replace(advantage=jnp.zeros_like(batch.advantage))
    else:
        batch = batch._replace(advantage=batch.advantage.at[3].set(jnp.nan))
    theta = case["before"]
    new, step, _ = golden_step("categorical")(theta, batch, config, case["direction"])
    np.testing.assert_array_equal(np.asarray(new).view(np.int64), np.asarray(theta).view(np.int64))
    assert step.fraction == step.kl == step.gain == 0


def test_accept_ratio_asks_for_more_of_the_promise(golden):
    case, batch, config = golden_case(golden, "gaussian_far")
    fractions = []
    for ratio in (0.0, 0.9):
        asked = config.replace(accept_ratio=jnp.float64(ratio))
        step = golden_step("gaussian")(case["before"], batch, asked, case["direction"])[1]
        fractions.append(step.fraction)
    assert fractions[1] < fractions[0]


@pytest.mark.parametrize(
    "env_name", ["CartPole-v1", pytest.param("Pendulum-v1", marks=pytest.mark.slow)]
)
def test_every_update_of_a_run_keeps_the_bound_and_improves(env_name):
    """Of ten seeds; both measured anew from the parameters, not taken from the metrics.

    Ten in one program, because that is where `jax.scipy`'s conjugate gradients went wrong.
    """
    with jax.enable_x64(False):
        env, params = make(env_name)
        config = TRPOConfig(num_envs=4, num_steps=32, hidden_sizes=(16,), num_minibatches=2)
        algorithm = trpo(env, config)
        parts = algorithm.init.args[0]

        def update(state, _):
            collected, trajectory = algorithm.collect(state)
            batch = module.make_batch(parts, collected, trajectory)
            batch = batch._replace(advantage=module.objectives.normalize_advantage(batch.advantage))
            after, metrics = algorithm.learn(collected, trajectory)
            old, new = (parts.network.policy(s.params, batch.obs) for s in (state, after))
            gain = (
                module.objective(new, old, batch, config)[0]
                - module.objective(old, old, batch, config)[0]
            )
            moved = ravel_pytree(after.params["actor"])[0] != ravel_pytree(state.params["actor"])[0]
            kl = old.kl_divergence(new).mean()
            return after, (kl, gain, moved.any(), metrics["policy/accepted"].value)

        def run(key):
            state = algorithm.init(key, params, 100)
            return jax.lax.scan(update, state, None, length=100)[1]

        keys = jax.random.split(jax.random.key(0), 10)
        kl, gain, moved, accepted = jax.jit(jax.vmap(run))(keys)
    assert (np.asarray(kl) <= 0.01 * (1 + 1e-5)).all()
    assert (np.asarray(gain) >= -1e-7).all()  # the rounding of a mean of advantages near 1
    np.testing.assert_array_equal(moved, accepted == 1)
    assert np.mean(accepted) > 0.9 and np.median(kl) > 0.004


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(shared_torso=True), "shared_torso=True does not go with TRPO"),
        (dict(target_kl=0.0), "target_kl=0.0 is out of range"),
        (dict(target_kl=float("nan")), "target_kl=nan is out of range"),
        (dict(cg_max_steps=0), "cg_max_steps=0"),
        (dict(line_search_shrinking_factor=1.5), "line_search_shrinking_factor"),
        (dict(num_minibatches=7), "nearest that do are"),
    ],
)
def test_bad_settings_are_refused(cartpole, changes, words):
    with pytest.raises(ConfigError, match=words):
        trpo(cartpole[0], TRPOConfig(**changes))


def test_notes_configuration_is_the_constrained_objective():
    notes = TRPOConfig.notes()
    assert notes.target_kl == 0.01 and notes.ent_coef == 0 and not notes.normalize_advantage
    assert TRPOConfig.notes(target_kl=0.02).target_kl == 0.02
