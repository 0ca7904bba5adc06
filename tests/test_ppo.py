"""PPO's own mathematics: the ratio, the loss, the schedules, the switches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from jaxrl import objectives
from jaxrl.algorithms import ppo as module
from jaxrl.algorithms.ppo import PPOConfig, ppo
from jaxrl.environment import make
from jaxrl.errors import ConfigError, SpaceError, UnknownNameError
from jaxrl.types import Mean


@pytest.fixture(scope="module")
def collected(small_ppo, cartpole):
    """Parts, a state after collecting, and its rows."""
    parts = small_ppo.init.args[0]
    state = jax.jit(small_ppo.init)(jax.random.key(0), cartpole[1], 10)
    state, trajectory = jax.jit(small_ppo.collect)(state)
    return parts, state, trajectory, module.make_batch(parts, state, trajectory)


@pytest.mark.exact
def test_ratio_is_one_on_the_first_minibatch(collected):
    parts, state, _, batch = collected
    policy = parts.network.policy(state.params, batch.obs)
    log_ratio = policy.log_prob(batch.raw_action) - batch.log_prob
    np.testing.assert_allclose(jnp.exp(log_ratio), 1.0, atol=1e-6)


def test_gradient_at_the_old_policy_is_the_policy_gradient(collected):
    parts, state, _, batch = collected
    config = PPOConfig.notes(vf_coef=0.0)

    def plain(params):
        policy = parts.network.policy(params, batch.obs)
        return -objectives.policy_gradient(
            policy.log_prob(batch.raw_action), batch.advantage
        ).mean()

    ours = jax.grad(lambda p: module.loss_fn(p, batch, parts, config)[0])(state.params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        ours["actor"],
        jax.grad(plain)(state.params)["actor"],
    )


def test_loss_is_the_sum_of_its_parts(collected):
    parts, state, _, batch = collected
    config = PPOConfig(ent_coef=0.03, vf_coef=0.7)
    loss, parts_of_it = module.loss_fn(state.params, batch, parts, config)
    value = {name: float(mean.value) for name, mean in parts_of_it.items()}
    whole = value["loss/policy"] + 0.7 * value["loss/value"] - 0.03 * value["policy/entropy"]
    assert float(loss) == pytest.approx(whole, rel=1e-5)


def test_surrogate_is_an_argument(collected, cartpole):
    parts, state, _, batch = collected

    def penalised(log_ratio, advantage, config):
        return jnp.exp(log_ratio) * advantage + 5.0 * log_ratio

    other = parts._replace(surrogate=penalised)
    plain, _ = module.loss_fn(state.params, batch, parts, PPOConfig())
    shifted = jax.grad(lambda p: module.loss_fn(p, batch, other, PPOConfig())[0])(state.params)
    ours = jax.grad(lambda p: module.loss_fn(p, batch, parts, PPOConfig())[0])(state.params)
    assert np.isfinite(plain)
    difference = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), shifted, ours)
    assert max(jax.tree.leaves(difference["actor"])) > 1e-4
    assert ppo(cartpole[0], surrogate=penalised).name == "ppo"


@pytest.mark.parametrize("ratio", [0.5, 1.5])
@pytest.mark.parametrize("advantage", [-2.0, 2.0])
def test_clipped_surrogate_by_hand_and_by_rlax(ratio, advantage):
    ours = objectives.clipped_surrogate(jnp.log(jnp.array([ratio])), jnp.array([advantage]), 0.2)
    by_hand = min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)
    theirs = -rlax.clipped_surrogate_pg_loss(jnp.array([ratio]), jnp.array([advantage]), 0.2)
    assert float(ours[0]) == pytest.approx(by_hand, rel=1e-5)
    assert float(ours[0]) == pytest.approx(float(theirs), rel=1e-5)


def test_schedules_end_exactly_at_the_last_update(cartpole):
    config = PPOConfig(
        num_envs=2,
        num_steps=4,
        num_minibatches=2,
        hidden_sizes=(4,),
        learning_rate=1e-3,
        learning_rate_final=1e-4,
        ent_coef=0.1,
        ent_coef_final=0.0,
        ent_coef_decay_fraction=0.5,
    )
    algorithm = ppo(cartpole[0], config)
    state = jax.jit(algorithm.init)(jax.random.key(0), cartpole[1], 5)

    @jax.jit
    def update(state):
        return algorithm.learn(*algorithm.collect(state))

    rates, bonuses = [], []
    for _ in range(5):
        state, metrics = update(state)
        rates.append(float(metrics["schedule/learning_rate"].value))
        bonuses.append(float(metrics["schedule/ent_coef"].value))
    assert rates[0] == pytest.approx(1e-3) and rates[-1] == np.float32(1e-4)
    np.testing.assert_allclose(np.diff(rates), -2.25e-4, rtol=1e-3)
    np.testing.assert_allclose(bonuses, [0.1, 0.05, 0.0, 0.0, 0.0], atol=1e-7)


@pytest.mark.slow
def test_target_kl_stops_the_update(cartpole):
    sizes = dict(num_envs=4, num_steps=16, hidden_sizes=(8,), learning_rate=0.05)
    free = ppo(cartpole[0], PPOConfig(**sizes))
    held = ppo(cartpole[0], PPOConfig(**sizes, target_kl=1e-6))
    state = jax.jit(free.init)(jax.random.key(0), cartpole[1], 1)
    after_free = jax.jit(lambda s: free.learn(*free.collect(s)))(state)[0]
    state = jax.jit(held.init)(jax.random.key(0), cartpole[1], 1)
    after_held = jax.jit(lambda s: held.learn(*held.collect(s)))(state)[0]

    def moved(after):
        leaves = zip(
            jax.tree.leaves(after.params["actor"]),
            jax.tree.leaves(state.params["actor"]),
            strict=True,
        )
        return sum(float(jnp.abs(a - b).sum()) for a, b in leaves)

    assert 0 < moved(after_held) < 0.5 * moved(after_free)


def test_gradients_are_clipped_by_their_global_norm():
    from jaxrl.optim import adam

    grads = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([4.0])}
    transform = adam(1.0, 1e-5)
    state = transform.init(grads)
    _, (_, adam_state) = transform.update(grads, state)
    # Adam's first moment is a tenth of what it was given.
    np.testing.assert_allclose(adam_state.mu["a"], [0.06, 0.0], rtol=1e-5)
    np.testing.assert_allclose(adam_state.mu["b"], [0.08], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        dict(shared_torso=True),
        dict(normalize_obs=True, normalize_reward=True),
        dict(clip_eps_vf=0.2, max_grad_norm=None),
        dict(reset="pooled", pool_size=3),
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_switches_run(cartpole, changes):
    config = PPOConfig(num_envs=2, num_steps=8, hidden_sizes=(4,), num_minibatches=2, **changes)
    algorithm = ppo(cartpole[0], config)
    state = jax.jit(algorithm.init)(jax.random.key(0), cartpole[1], 2)
    state, metrics = jax.jit(lambda s: algorithm.learn(*algorithm.collect(s)))(state)
    assert all(np.isfinite(m.total) for name, m in metrics.items() if name.startswith("loss/"))
    if config.normalize_obs:
        assert float(state.obs_stats.count) == 16 and state.obs_stats.mean.shape == (4,)


@pytest.mark.slow
def test_continuous_actions_stay_in_their_box_and_keep_the_raw_sample():
    env, params = make("Pendulum-v1")
    for squash in (False, True):
        config = PPOConfig(
            num_envs=8, num_steps=8, hidden_sizes=(4,), squash=squash, num_minibatches=2
        )
        algorithm = ppo(env, config)
        state = jax.jit(algorithm.init)(jax.random.key(0), params, 1)
        # A wide policy, so that clipping and squashing have something to do.
        actor = state.params["actor"]["params"]
        head = next(name for name in actor if "log_std" in actor[name])
        actor[head]["log_std"] = jnp.full((1,), 2.0)
        state, trajectory = jax.jit(algorithm.collect)(state)
        assert float(jnp.abs(trajectory.action).max()) <= 2.0
        assert float(jnp.abs(trajectory.extras.raw_action).max()) > 2.0
        batch = module.make_batch(algorithm.init.args[0], state, trajectory)
        policy = algorithm.init.args[0].network.policy(state.params, batch.obs)
        log_ratio = policy.log_prob(batch.raw_action) - batch.log_prob
        np.testing.assert_allclose(log_ratio, 0.0, atol=1e-4)


def test_notes_configuration_is_the_objective_alone():
    notes = PPOConfig.notes()
    assert not notes.normalize_advantage and notes.ent_coef == 0.0
    assert notes.max_grad_norm is None and notes.clip_eps_vf is None
    assert PPOConfig.notes(clip_eps=0.1).clip_eps == 0.1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(num_minibatches=7), "nearest that do are 4 and 8"),
        (dict(gamma=1.1), "gamma=1.1"),
        (dict(clip_eps=0.0), "clip_eps"),
        (dict(num_envs=0), "num_envs=0"),
        (dict(learning_rate=-1.0), "learning_rate"),
        (dict(hidden_sizes=()), "hidden_sizes"),
        (dict(pool_size=4), "pooled"),
        (dict(ent_coef_decay="exponential", ent_coef_final=0.0), "cannot go exponentially"),
        (dict(torso="cnn"), "torso"),
    ],
)
def test_bad_settings_are_refused(cartpole, changes, words):
    config = PPOConfig(num_envs=8, num_steps=32) if "num_envs" not in changes else PPOConfig()
    with pytest.raises(ConfigError, match=words):
        ppo(cartpole[0], config.replace(**changes))


def test_unknown_names_are_refused_with_the_nearest(cartpole):
    with pytest.raises(UnknownNameError, match="did you mean 'tanh'"):
        ppo(cartpole[0], PPOConfig(activation="tahn"))
    with pytest.raises(UnknownNameError, match="did you mean 'pooled'"):
        ppo(cartpole[0], PPOConfig(reset="pool"))


def test_an_action_space_it_cannot_take_is_refused(cartpole):
    class Tuple:
        shape = None

        def sample(self, key):
            return jnp.int32(0)

    env = type("Odd", (type(cartpole[0]),), {"action_space": lambda self, params=None: Tuple()})()
    with pytest.raises(SpaceError, match="Discrete action space or a Box"):
        ppo(env)


def test_metrics_are_means_of_one_update(collected, small_ppo):
    _, state, trajectory, _ = collected
    metrics = jax.jit(small_ppo.learn)(state, trajectory)[1]
    assert all(isinstance(metric, Mean) for metric in metrics.values())
    assert float(metrics["loss/total"].count) == 16  # 4 epochs of 4 minibatches
