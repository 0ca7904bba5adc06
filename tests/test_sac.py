"""SAC against closed forms: the softmax and the Gaussian that its objective has for solutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from jaxrl.algorithms import sac as module
from jaxrl.algorithms.sac import SACConfig, sac
from jaxrl.critics import SoftActorCritic, soft_actor_critic
from jaxrl.distributions import Categorical
from jaxrl.errors import ConfigError, SpaceError
from jaxrl.replay import Sample
from jaxrl.update import make_train
from jaxrl_envs import base, spaces

REWARDS = (0.0, 1.0, 0.5)
MEAN, CURVATURE = 0.3, 10.0


@struct.dataclass
class BanditState(base.EnvState):
    pass


class Bandit(base.Environment):
    """One state, one step: a reward for each of three actions, or a parabola over [-2, 2]."""

    def __init__(self, continuous):
        self.continuous = continuous

    @property
    def default_params(self):
        return base.EnvParams(max_steps_in_episode=5)

    def reset_env(self, key, params):
        return jnp.ones(1), BanditState(jnp.int32(0))

    def step_env(self, key, state, action, params):
        if self.continuous:
            reward = -0.5 * CURVATURE * jnp.square(action[0] - MEAN)
        else:
            reward = jnp.array(REWARDS)[action]
        return jnp.ones(1), state.replace(time=state.time + 1), reward, jnp.bool_(True), {}

    def is_terminated(self, state, params):
        return jnp.bool_(True)

    def action_space(self, params=None):
        return spaces.Box(-2.0, 2.0, (1,)) if self.continuous else spaces.Discrete(3)

    def observation_space(self, params=None):
        return spaces.Box(-1.0, 1.0, (1,))


def trained(continuous, steps=40_000, **changes):
    settings = dict(
        num_envs=8,
        num_steps=8,
        buffer_size=4000,
        batch_size=64,
        replay_ratio=1 / 16,
        learning_starts=500,
        learning_rate=5e-3,
        learning_rate_final=0.0,
        hidden_sizes=(16,),
        activation="tanh",
    )
    algorithm = sac(Bandit(continuous), SACConfig(**settings | changes))
    train = jax.jit(make_train(algorithm, steps, num_points=4))
    state, curves = train(jax.random.key(0), Bandit(continuous).default_params)
    policy = algorithm.init.args[0].network.policy(state.params["actor"], jnp.ones(1))
    return algorithm, state, policy, curves


@pytest.mark.slow
def test_on_a_bandit_the_policy_is_a_softmax_of_rewards():
    """π(a) ∝ exp(r(a) / α), the maximum of E[r] + α H."""
    _, _, policy, _ = trained(False, ent_coef=0.5, learn_ent_coef=False)
    wanted = jax.nn.softmax(jnp.array(REWARDS) / 0.5)
    np.testing.assert_allclose(jnp.exp(policy.log_probs), wanted, atol=0.03)


@pytest.mark.slow
def test_on_a_parabola_the_policy_is_a_gaussian():
    """π(a) ∝ exp(r(a) / α) is normal with variance α / curvature; here far from the bounds."""
    _, _, policy, _ = trained(
        True, 400_000, ent_coef=0.1, learn_ent_coef=False, hidden_sizes=(32, 32)
    )
    keys = jax.random.split(jax.random.key(1), 20_000)
    actions = policy.env_action(jax.vmap(policy.sample)(keys))
    assert float(actions.mean()) == pytest.approx(MEAN, abs=0.03)
    assert float(actions.std()) == pytest.approx((0.1 / CURVATURE) ** 0.5, rel=0.1)


@pytest.mark.slow
def test_the_temperature_brings_the_entropy_to_its_target():
    """log 3 is the most; half of it must come out within 5 %, whatever the temperature began as."""
    algorithm, state, policy, curves = trained(False, target_entropy_ratio=0.5, ent_coef=2.0)
    target = 0.5 * np.log(3)
    assert float(module.entropy_target(algorithm.config, Bandit(False).action_space())) == (
        pytest.approx(target)
    )
    assert float(policy.entropy()) == pytest.approx(target, rel=0.05)
    # The temperature that this entropy belongs to, from the closed form.
    alpha = 2.0 * float(jnp.exp(state.params["log_ent_coef_shift"]))
    probs = jax.nn.softmax(jnp.array(REWARDS) / alpha)
    assert float(-(probs * jnp.log(probs)).sum()) == pytest.approx(target, rel=0.1)
    assert float(curves["policy/ent_coef"][-1]) == pytest.approx(alpha, rel=0.1)


def test_default_target_does_not_depend_on_the_units_of_actions():
    """-1 a dimension for actions in [-1, 1]; in [-2, 2] the same policy has log 2 more."""
    config = SACConfig()
    assert float(module.entropy_target(config, spaces.Box(-1.0, 1.0, (2,)))) == -2
    wide = float(module.entropy_target(config, spaces.Box(-2.0, 2.0, (2,))))
    assert wide == pytest.approx(-2 + 2 * np.log(2), rel=1e-6)


@pytest.mark.parametrize("continuous", [False, True])
def test_losses_reach_their_own_parts_and_no_others(continuous):
    algorithm = sac(Bandit(continuous), SACConfig(hidden_sizes=(4,)))
    parts = algorithm.init.args[0]
    params = parts.network.init(jax.random.key(0)) | {"log_ent_coef_shift": jnp.float32(0)}
    action = jnp.full((6, 1), 0.5) if continuous else jnp.arange(6) % 3
    sample = Sample(
        jnp.ones((6, 1)), action, jnp.arange(6.0), jnp.full(6, 0.9), jnp.ones((6, 1)), jnp.ones(6)
    )
    noise = parts.network.noise(jax.random.key(1), (6, 2))

    @jax.jit
    def both(sample, config):
        def loss(p):
            return module.loss_fn(p, params["critic"], sample, noise, parts, config)

        return jax.grad(loss, has_aux=True)(params)

    def gradient(sample):
        return both(sample, SACConfig())[0]

    first = gradient(sample)
    assert any(leaf.any() for leaf in jax.tree.leaves(first["actor"]))
    # Other rewards: another critic's gradient; actor's and temperature's as they were.
    other = gradient(sample._replace(reward=jnp.zeros(6)))
    jax.tree.map(np.testing.assert_array_equal, first["actor"], other["actor"])
    assert float(first["log_ent_coef_shift"]) == float(other["log_ent_coef_shift"])
    assert not np.array_equal(*(jax.tree.leaves(g["critic"])[0] for g in (first, other)))
    # A batch of rows that must not be learned from moves nothing.
    none = gradient(sample._replace(weight=jnp.zeros(6)))
    assert all(not leaf.any() for leaf in jax.tree.leaves(none))
    # A learned temperature begins at the lane's own, whatever config the algorithm was built with.
    _, metrics = both(sample, SACConfig(ent_coef=0.25))
    assert float(metrics["policy/ent_coef"].value) == pytest.approx(0.25)


def test_an_action_that_is_never_taken_adds_nothing():
    policy = Categorical.from_logits(jnp.array([[0.0, -jnp.inf]]))
    network = SoftActorCritic(None, None, lambda *_: jnp.array([[[1.0, 5.0]], [[2.0, 5.0]]]), None)
    value, entropy = module.soft_value(network, policy, None, jnp.ones((1, 1)), None, 0.1)
    assert float(value[0]) == 1 and float(entropy[0]) == 0


@pytest.mark.parametrize(
    ("continuous", "changes", "words"),
    [
        (False, dict(buffer_size=10), "smaller than batch_size"),
        (False, dict(replay_ratio=0.5), "cannot be met.*=1/1"),
        (False, dict(target_entropy=1.2), "target_entropy=1.2 is out of reach"),
        (True, dict(target_entropy=1.5), "target_entropy=1.5 is out of reach"),
        (True, dict(ent_coef=0.0), "ent_coef=0.0"),
    ],
)
def test_bad_settings_are_refused(continuous, changes, words):
    with pytest.raises(ConfigError, match=words):
        sac(Bandit(continuous), SACConfig(**changes))


def test_an_action_space_without_bounds_is_refused():
    unbounded = spaces.Box(-np.inf, np.inf, (1,))
    with pytest.raises(SpaceError, match="needs a bounded action space"):
        soft_actor_critic(spaces.Box(-1.0, 1.0, (1,)), unbounded, SACConfig())
