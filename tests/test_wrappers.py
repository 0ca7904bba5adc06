"""Wrappers: what each changes, and that it is an environment like any other."""

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

from jaxrl import check_env, make
from jaxrl.algorithms.ppo import PPOConfig, ppo
from jaxrl.environment import env_name
from jaxrl.errors import ConfigError, SpaceError
from jaxrl.update import make_train
from jaxrl.vector import vectorize
from jaxrl.wrappers import FlattenObservation, FrameStack, PixelObservation, StickyActions, Wrapper
from jaxrl_envs import Box, Discrete, base

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def cart():
    return make("CartPole-v1")[0]


def play(env, actions):
    """The start's observation and state, then those after each action, all on the host."""
    params = env.default_params
    seen = [env.reset_env(KEY, params)]
    step = jax.jit(env.step_env)
    for i, action in enumerate(actions):
        obs, state, *_ = step(jax.random.key(i), seen[-1][1], action, params)
        seen.append((obs, state))
    return [np.asarray(obs) for obs, _ in seen], [state for _, state in seen]


WRAPPED = {
    "plain": Wrapper,
    "stack": lambda env: FrameStack(env, 3),
    "pixels": lambda env: PixelObservation(env, 16, 24),
    "grey": lambda env: PixelObservation(env, 16, 16, grayscale=True),
    "sticky": StickyActions,
    "flat": FlattenObservation,
    "stack of pixels": lambda env: FrameStack(PixelObservation(env, 16, 16), 2),
    "sticky stack": lambda env: StickyActions(FrameStack(FlattenObservation(env), 2), 0.5),
}


@pytest.mark.parametrize("kind", WRAPPED)
@pytest.mark.parametrize("name", ["Pendulum-v1", "snake-v0"])
def test_every_wrapper_is_an_environment_that_is_drawn_and_described(kind, name):
    inside, params = make(name)
    env = WRAPPED[kind](inside)
    check_env(env, params)
    state = jax.eval_shape(lambda: vectorize(env, 3).reset(KEY, params))
    assert state.obs.shape == (3, *env.observation_space(params).shape)
    _, one = jax.eval_shape(env.reset_env, KEY, params)
    frame = jax.eval_shape(lambda s: env.render(s, params, height=20, width=30), one)
    assert frame.shape == (20, 30, 3)
    assert set(jax.eval_shape(env.describe, one, params)) == set(env.quantities)


@pytest.mark.parametrize(
    ("kind", "name"), [("sticky stack", "Pendulum-v1"), ("stack of pixels", "snake-v0")]
)
def test_wrapped_environments_fit_an_algorithm(kind, name):
    """Tracing shows that shapes and types fit; what is computed is shown elsewhere."""
    inside, params = make(name)
    env = WRAPPED[kind](inside)
    algorithm = ppo(env, PPOConfig(num_envs=2, num_steps=16, hidden_sizes=(8,)))
    train_state = jax.eval_shape(lambda key: algorithm.init(key, params, 1), KEY)
    collected, trajectory = jax.eval_shape(algorithm.collect, train_state)
    assert trajectory.obs.dtype == env.observation_space(params).dtype
    jax.eval_shape(algorithm.learn, collected, trajectory)


@pytest.mark.slow
def test_wrappers_upon_wrappers_pass_the_deep_check(cart):
    pixels = PixelObservation(StickyActions(cart), 16, 16, grayscale=True)
    check_env(FrameStack(FlattenObservation(pixels), 2), deep=True)


@pytest.mark.slow
def test_ppo_learns_through_wrappers():
    """The cue is in the newest half of what is seen."""
    env = FrameStack(FlattenObservation(probes.ActionObservationReward()), 2)
    config = PPOConfig(num_envs=8, num_steps=16, learning_rate=5e-3, gamma=0.9, hidden_sizes=(16,))
    algorithm = ppo(env, config)
    state, _ = jax.jit(make_train(algorithm, 25_000, num_points=1))(KEY, env.default_params)
    for cue, best in ((-1.0, 0), (1.0, 1)):
        assert int(algorithm.act(state, jnp.full((1, 2), cue), KEY, greedy=True)[0]) == best


def test_a_stack_holds_the_last_frames_newest_last(cart):
    plain, _ = play(cart, [0, 1, 1, 0])
    stacked, states = play(FrameStack(cart, 3), [0, 1, 1, 0])
    for i, obs in enumerate(stacked):
        rows = [plain[max(i - 2 + j, 0)] for j in range(3)]
        np.testing.assert_allclose(obs, np.concatenate(rows), rtol=1e-6)
    assert states[-1].frames.shape == (3, 4)


def test_a_stack_of_pictures_is_stacked_in_channels(cart):
    env = FrameStack(PixelObservation(cart, 16, 20), 2)
    obs, _ = play(env, [0, 1])
    assert obs[0].shape == (16, 20, 6) and obs[0].dtype == np.uint8
    np.testing.assert_array_equal(obs[2][..., :3], obs[1][..., 3:])
    np.testing.assert_array_equal(obs[0][..., :3], obs[0][..., 3:])


def test_pixels_are_the_environments_own_picture(cart):
    colour, states = play(PixelObservation(cart, 16, 24), [1])
    grey, _ = play(PixelObservation(cart, 16, 24, grayscale=True), [1])
    frame = np.asarray(cart.render(states[1], cart.default_params, height=16, width=24))
    # Compiled apart, a half may be rounded otherwise.
    assert np.abs(colour[1].astype(int) - frame).max() <= 1
    assert grey[1].shape == (16, 24, 1)
    luminance = frame @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(grey[1][..., 0], luminance, atol=1.5)


def test_actions_stick_as_often_as_they_should():
    class Echo(base.Environment):
        """Shows the action that it was given."""

        def reset_env(self, key, params):
            return jnp.zeros(1), base.EnvState(jnp.int32(0))

        def step_env(self, key, state, action, params):
            state = state.replace(time=state.time + 1)
            obs = jnp.asarray(action, jnp.float32)[None]
            return obs, state, jnp.float32(0), self.is_terminated(state, params), {}

        def is_terminated(self, state, params):
            return jnp.bool_(False)

        def action_space(self, params=None):
            return Discrete(4000)

        def observation_space(self, params=None):
            return Box(0.0, 4000.0, (1,))

    def acted(p):
        env = StickyActions(Echo(), p)
        _, state = env.reset_env(KEY, env.default_params)

        def step(state, x):
            obs, state, *_ = env.step_env(x[0], state, x[1], env.default_params)
            return state, obs[0]

        asked = jnp.arange(1, 2001)
        return np.asarray(asked), np.asarray(
            jax.jit(lambda s: jax.lax.scan(step, s, (jax.random.split(KEY, 2000), asked))[1])(state)
        )

    asked, done = acted(0.25)
    stuck = done != asked
    assert done[0] == 1  # the first action has none before it
    np.testing.assert_array_equal(done[1:][stuck[1:]], done[:-1][stuck[1:]])
    assert abs(stuck.mean() - 0.25) < 0.04
    assert not np.array_equal(*acted(1.0)) and (acted(1.0)[1] == 1).all()
    np.testing.assert_array_equal(*acted(0.0))


def test_a_tree_of_observations_is_joined_in_the_order_of_its_space():
    class Tree(base.Environment):
        def reset_env(self, key, params):
            obs = {"b": jnp.array([[1.0, 2.0]]), "a": jnp.int32(3)}
            return obs, base.EnvState(jnp.int32(0))

        def action_space(self, params=None):
            return Discrete(2)

        def observation_space(self, params=None):
            class Dict:
                spaces = {"b": Box(-1.0, 2.0, (1, 2)), "a": Discrete(5)}  # noqa: RUF012

            return Dict()

    env = FlattenObservation(Tree())
    obs, _ = env.reset_env(KEY, env.default_params)
    space = env.observation_space()
    np.testing.assert_array_equal(obs, [3, 1, 2])
    np.testing.assert_array_equal(space.low, [0, -1, -1])
    np.testing.assert_array_equal(space.high, [4, 2, 2])
    assert space.contains(obs) and space.shape == (3,)
    with pytest.raises(SpaceError, match="one array is needed"):
        FrameStack(Tree())


def test_names_parameters_and_what_is_reached_through(cart):
    env = StickyActions(FrameStack(cart, 2))
    assert env_name(env) == "StickyActions(FrameStack(CartPole-v1))"
    assert env.default_params == cart.default_params and env.num_frames == 2
    assert env.num_actions == 2
    with pytest.raises(AttributeError, match="no_such"):
        env.no_such  # noqa: B018
    assert not hasattr(StickyActions(probes.ConstantReward()), "render")


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda env: FrameStack(env, 0), "num_frames=0"),
        (lambda env: FrameStack(env, 2.5), r"num_frames=2\.5 .*a whole number"),
        (lambda env: PixelObservation(env, 15, 20), "height=15"),
        (lambda env: PixelObservation(env, 20, 20.5), r"width=20\.5"),
        (lambda env: StickyActions(env, 1.5), r"repeat_probability=1\.5"),
        (lambda env: PixelObservation(probes.ConstantReward()), "it has no render"),
    ],
)
def test_settings_that_cannot_be(cart, wrap, said):
    with pytest.raises(ConfigError, match=said):
        wrap(cart)


@pytest.mark.slow
def test_a_whole_update_on_pixels_runs(cart):
    """What tracing does not show: it compiles, and gives finite numbers."""
    env = PixelObservation(cart, 16, 16, grayscale=True)
    algorithm = ppo(env, PPOConfig(num_envs=2, num_steps=8, num_minibatches=1, hidden_sizes=(8,)))
    state = algorithm.init(KEY, env.default_params, 1)
    update = jax.jit(lambda s: algorithm.learn(*algorithm.collect(s)))
    state, metrics = update(state)
    assert all(bool(jnp.isfinite(m.value)) for n, m in metrics.items() if n.startswith("loss"))
