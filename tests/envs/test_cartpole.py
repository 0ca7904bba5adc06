"""CartPole-v1 against gymnax's and Gymnasium's, state by state and picture by picture."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_envs.cartpole import CartPole, CartPoleState

ENV = CartPole()
PARAMS = ENV.default_params
STEP = jax.jit(ENV.step_env)
SMALL = jax.jit(lambda state: ENV.render(state, PARAMS, height=64, width=96))
KEY = jax.random.key(0)


def state_of(values, time=0):
    return CartPoleState(jnp.int32(time), *(jnp.float32(v) for v in values))


def random_states(n, seed=0):
    """States all over the track, some of them fallen."""
    scale = np.array([2.6, 3.0, 0.23, 3.0])
    rng = np.random.default_rng(seed)
    return rng.uniform(-scale, scale, (n, 4)).astype(np.float32), rng.integers(0, 2, n)


def test_steps_equal_gymnaxs():
    gymnax = pytest.importorskip("gymnax")
    theirs, their_params = gymnax.make("CartPole-v1")
    values, actions = random_states(500)

    def step(env, params, state, action):
        obs, state, reward, terminated, _ = env.step_env(KEY, state, action, params)
        return obs, reward, terminated, env.is_truncated(state, params), state.time

    names = ("x", "x_dot", "theta", "theta_dot")
    start = dict(zip(names, jnp.array(values.T), strict=True), time=jnp.arange(500))
    their_state = jax.eval_shape(theirs.reset_env, KEY, their_params)[1].replace(**start)
    ours = jax.vmap(lambda s, a: step(ENV, PARAMS, s, a))(CartPoleState(**start), actions)
    other = jax.vmap(lambda s, a: step(theirs, their_params, s, a))(their_state, actions)
    for a, b in zip(ours, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    rewards, terminated, truncated = (np.asarray(x) for x in ours[1:4])
    # Both outcomes must be among those compared.
    assert 0 < terminated.mean() < 1 and 0 < rewards.mean() < 1 and truncated.sum() == 1


def test_steps_equal_gymnasiums():
    theirs = gymnasium.make("CartPole-v1").unwrapped
    theirs.reset(seed=0)
    values, actions = random_states(300, seed=1)
    fell = 0
    for value, action in zip(values, actions, strict=True):
        if ENV.is_terminated(state_of(value), PARAMS):
            continue  # Gymnasium leaves a step from a fallen state undefined
        theirs.state, theirs.steps_beyond_terminated = value.astype(np.float64), None
        obs, reward, terminated, _, _ = theirs.step(action)
        ours, _, our_reward, our_terminated, _ = STEP(KEY, state_of(value), action, PARAMS)
        np.testing.assert_allclose(ours, obs, rtol=1e-5, atol=1e-6)
        assert (float(our_reward), bool(our_terminated)) == (reward, terminated)
        fell += terminated
    assert fell > 5


def balance(obs):
    return int(obs[2] + 0.3 * obs[3] + 0.02 * obs[0] + 0.05 * obs[1] > 0)


def push_right(obs):
    return 1


@pytest.mark.parametrize("policy", [balance, push_right])
def test_whole_episodes_equal_gymnasiums(policy):
    theirs = gymnasium.make("CartPole-v1")
    obs, _ = theirs.reset(seed=4)
    time, ended = 0, False
    while not ended:
        # Every step starts from Gymnasium's state: in 500 steps an upright pole magnifies the
        # difference between float32 and float64 by more than 1e16.
        start, action = state_of(obs, time), policy(obs)
        obs, reward, terminated, truncated, _ = theirs.step(action)
        ours, state, our_reward, our_terminated, _ = STEP(KEY, start, action, PARAMS)
        np.testing.assert_allclose(ours, obs, rtol=1e-5, atol=1e-6)
        assert float(our_reward) == reward
        assert bool(our_terminated) == terminated
        assert bool(ENV.is_truncated(state, PARAMS)) == truncated
        time, ended = int(state.time), terminated or truncated
    assert time == 500 if policy is balance else time < 15


def test_gymnax_takes_it_in_its_registry_and_wrappers():
    gymnax = pytest.importorskip("gymnax")
    from gymnax.wrappers.purerl import LogWrapper

    name = "CartPole-of-jaxrl-v1"
    if name not in gymnax.registered_envs:
        gymnax.register(name, CartPole)

    def play(made):
        env, params = made
        env = LogWrapper(env)

        def step(state, key):
            key_action, key_step = jax.random.split(key)
            action = jax.random.randint(key_action, (), 0, 2)
            obs, state, reward, terminated, truncated, info = env.step(
                key_step, state, action, params
            )
            return state, (obs, reward, terminated, truncated, info["returned_episode_returns"])

        _, state = env.reset(KEY, params)
        return jax.jit(lambda s: jax.lax.scan(step, s, jax.random.split(KEY, 200))[1])(state)

    ours, theirs = play(gymnax.make(name)), play(gymnax.make("CartPole-v1"))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    assert ours[2].sum() > 3  # several episodes were compared


def test_actions_out_of_range_are_clamped():
    start = state_of((0.1, 0.2, 0.03, 0.4))
    for given, meant in ((7, 1), (-3, 0)):
        a, b = (STEP(KEY, start, jnp.int32(action), PARAMS)[0] for action in (given, meant))
        np.testing.assert_array_equal(a, b)


def test_starts_are_uniform_and_differ_between_lanes():
    obs, state = ENV.reset_batch(KEY, PARAMS, 4000)
    assert obs.shape == (4000, 4) and obs.dtype == jnp.float32
    assert state.time.dtype == jnp.int32 and not state.time.any()
    np.testing.assert_array_equal(jax.vmap(ENV.get_obs)(state), obs)
    assert float(jnp.abs(obs).max()) <= 0.05
    np.testing.assert_allclose(obs.mean(0), 0, atol=0.002)
    np.testing.assert_allclose(obs.std(0), 0.1 / np.sqrt(12), rtol=0.05)
    assert len(np.unique(obs)) > 10_000
    assert ENV.reset_env(KEY, PARAMS)[0].shape == (4,)


def test_a_failing_observation_is_still_in_its_space():
    space = ENV.observation_space(PARAMS)
    obs, _, _, terminated, _ = STEP(KEY, state_of((2.39, 3, 0.2, 3)), 1, PARAMS)
    assert terminated and space.contains(obs) and space.shape == (4,)


def test_parameters_can_be_swept():
    def step(gravity, threshold):
        params = PARAMS.replace(gravity=gravity, x_threshold=threshold)
        obs, _, _, terminated, _ = ENV.step_env(KEY, state_of((1.5, 0, 0.1, 0)), 1, params)
        return obs, terminated, ENV.observation_space(params).high

    obs, terminated, high = jax.vmap(step)(jnp.array([1.0, 20.0]), jnp.array([1.0, 2.4]))
    assert obs[0, 3] < obs[1, 3] and terminated.tolist() == [True, False]
    np.testing.assert_allclose(high[:, 0], [2.0, 4.8])


def test_describe_names_every_quantity_with_its_unit():
    said = ENV.describe(state_of((1, 2, 0.1, -3), time=7), PARAMS)
    assert set(said) == set(ENV.quantities)
    assert all(unit and meaning for unit, meaning in ENV.quantities.values())
    assert float(said["pole_angle_degrees"]) == pytest.approx(np.degrees(0.1), rel=1e-6)
    assert (float(said["cart_velocity"]), int(said["time"])) == (2.0, 7)


def test_pictures_equal_gymnasiums(monkeypatch):
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    theirs = gymnasium.make("CartPole-v1", render_mode="rgb_array")
    theirs.reset(seed=0)
    render = jax.jit(lambda state: ENV.render(state, PARAMS))
    rng = np.random.default_rng(0)
    for _ in range(10):
        values = rng.uniform([-2.4, 0, -0.3, 0], [2.4, 1, 0.3, 1])
        theirs.unwrapped.state = values
        frame, ours = theirs.render().astype(int), np.asarray(render(state_of(values))).astype(int)
        assert ours.shape == frame.shape == (400, 600, 3)
        # Gymnasium rounds positions to pixels: edges differ by parts of one. Half a pixel of
        # displacement would be 0.7 at the track alone.
        assert np.abs(frame - ours).mean() < 0.15
        assert (np.abs(frame - ours).max(-1) > 128).mean() < 2e-4
    theirs.close()


@pytest.mark.parametrize(("theta", "side"), [(0.2, 1), (-0.2, -1)])
def test_a_positive_tilt_is_drawn_to_the_right(theta, side):
    frame = np.asarray(SMALL(state_of((0, 0, theta, 0))))
    top = np.flatnonzero((frame[:40] != 255).any(-1).any(0))
    assert np.sign(top.mean() - 47.5) == side


def test_a_batch_of_pictures_equals_single_ones_and_shows_small_motions():
    singles = [state_of((x, 0, 0, 0)) for x in (0, 0.01, 1)]
    frames = jax.jit(jax.vmap(SMALL))(jax.tree.map(lambda *x: jnp.stack(x), *singles))
    assert frames.shape == (3, 64, 96, 3) and frames.dtype == jnp.uint8
    for frame, single in zip(frames.astype(int), singles, strict=True):
        # Programs of different shapes may round a half differently.
        assert np.abs(frame - SMALL(single).astype(int)).max() <= 1
    assert (frames[0] != frames[1]).any()
