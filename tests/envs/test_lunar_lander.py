"""LunarLander-v3 as an environment: actions, wind, parameters, spaces, words and pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lunar_lander_replay import RECORDED, SHORT, as_continuous, chosen, play

from jaxrl.env_check import check_env
from jaxrl.environment import make
from jaxrl.errors import ConfigError
from jaxrl.vector import rollout, vectorize
from jaxrl_envs import draw
from jaxrl_envs.lunar_lander import LunarLander, LunarLanderParams, engines, picture
from jaxrl_envs.lunar_lander.geometry import HULL, placement
from jaxrl_envs.lunar_lander.vectors import Pose, Vec2, Velocity, stack

ENV = LunarLander(solver="fast")
PARAMS = ENV.default_params
START = jax.jit(ENV.reset_env)
KEY = jax.random.key(0)
BATCH = 2000
STARTS = jax.jit(lambda key, params: ENV.reset_batch(key, params, BATCH))
ANGLE = 4  # in an observation
NONE = engines.Power(jnp.float32(0), jnp.float32(0), jnp.float32(0))


def fly(key, params):
    """Random actions for as many lanes and steps as the replays have, to share their program."""
    shape = (SHORT, len(chosen(SHORT)))
    key_start, key_action, key_noise = jax.random.split(key, 3)
    state = jax.tree.map(lambda leaf: np.asarray(leaf)[: shape[1]], STARTS(key_start, params)[1])
    actions = as_continuous(np.asarray(jax.random.randint(key_action, shape, 0, 4)))
    dispersion = jax.random.uniform(key_noise, (*shape, 2), minval=-1.0)
    params = jax.tree.map(lambda number: np.full(shape[1], number), params)
    return jax.tree.map(np.asarray, play("fast", state, params, actions, dispersion))


@pytest.fixture(scope="module")
def flown():
    return fly(KEY, LunarLanderParams(enable_wind=True))


@pytest.mark.slow
def test_random_flights_stay_finite_and_in_their_space_until_they_end(flown):
    state, (obs, reward, terminated) = flown
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state, obs, reward)))
    before_end = np.cumsum(terminated, axis=0) <= 1  # the step that ends included
    space = ENV.observation_space(PARAMS)
    inside = ((obs >= space.low) & (obs <= space.high)).all(-1)
    assert inside[before_end].all()
    assert terminated.any(0).mean() > 0.9  # what falls for four seconds has landed somehow
    # A lander that has crashed stays crashed, at -100 a step.
    assert terminated[1:][terminated[:-1]].all()


def test_the_same_key_gives_the_same_flight_and_wind_another_one(flown):
    params = LunarLanderParams(enable_wind=True)
    for a, b in zip(jax.tree.leaves(flown), jax.tree.leaves(fly(KEY, params)), strict=True):
        np.testing.assert_array_equal(a, b)
    state, (calm, *_) = fly(KEY, PARAMS)
    assert (np.abs(calm - flown[1][0]).max(axis=(0, 2)) > 1e-3).all()
    assert not (flown[0].wind_index == state.wind_index).any()


def test_starts_of_a_batch_are_of_one_draw_and_differ():
    obs, state = jax.tree.map(np.asarray, STARTS(KEY, PARAMS))
    assert obs.shape == (BATCH, 8) and obs.dtype == jnp.float32
    assert len(np.unique(obs[:, 2])) > 1900 and len(np.unique(state.terrain[:, 0])) > 1900
    np.testing.assert_allclose(obs[:, :2].mean(0), [0, 1.4106], atol=2e-3)
    # A push of 1000 N for 0.02 s, shared with the legs, as observed: ± 4.04 m/s · 10 / 50.
    np.testing.assert_allclose(obs[:, 2].std(), 4.0428 * 0.2 / np.sqrt(3), rtol=0.03)
    single_obs, single = START(KEY, PARAMS)
    assert single_obs.shape == (8,)
    assert jax.tree.structure(single) == jax.tree.structure(state)
    assert (state.terrain[:, 4:7] == state.terrain[0, 4]).all()


def hull_after(power, dispersion=(0.0, 0.0), angle=0.0):
    """Velocity of a hull at rest after the engines' impulses."""
    pose = Pose(Vec2(jnp.float32(10), jnp.float32(10)), jnp.float32(angle))
    rest = Velocity(Vec2(jnp.float32(0), jnp.float32(0)), jnp.float32(0))
    return engines.fire(pose, rest, power, jnp.array(dispersion, jnp.float32))


def test_engines_push_where_they_say():
    main = hull_after(engines.discrete_power(jnp.int32(2)))
    assert float(main.linear.y) == pytest.approx(13 * 4 / 30 / HULL.mass, rel=1e-5)
    assert float(main.linear.x) == 0 and float(main.angular) == 0
    left, right = (hull_after(engines.discrete_power(jnp.int32(a))) for a in (1, 3))
    assert float(left.linear.x) == pytest.approx(-0.6 * 12 / 30 / HULL.mass, rel=1e-5)
    assert float(left.angular) > 0 > float(right.angular)  # the left engine turns to the left
    strong = hull_after(engines.discrete_power(jnp.int32(2)), (1.0, 0.0))
    assert float(strong.linear.y) == pytest.approx(1.5 * float(main.linear.y), rel=1e-5)


def test_continuous_engines_fire_at_half_power_or_more_or_not_at_all():
    actions = jnp.array([[0, 0], [-1, 0.5], [0.001, -0.51], [1, 1], [9, -9]], jnp.float32)
    power = engines.continuous_power(actions)
    np.testing.assert_allclose(power.main, [0, 0, 0.5005, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(power.side, [0, 0, 0.51, 1, 1], rtol=1e-6)
    np.testing.assert_array_equal(power.direction[2:], [-1, 1, -1])


@pytest.mark.parametrize("action", [-1, 4, 1.5, np.int32(7)])
def test_a_concrete_action_that_does_not_exist_is_refused(action):
    _, state = START(KEY, PARAMS)
    with pytest.raises(ValueError, match=r"action=-?\d.*needed is 0 .*3 \(right engine\)"):
        ENV.step_env(KEY, state, action, PARAMS)


@pytest.mark.parametrize("action", [(1.5, 0.0), (0.0, -2.0), (np.nan, 0.0), (0.0, 0.0, 0.0)])
def test_a_concrete_continuous_action_out_of_range_is_refused(action):
    _, state = START(KEY, PARAMS)
    with pytest.raises(ValueError, match=r"action=\[.*needed is \[main, side\], each in \[-1, 1\]"):
        LunarLander(True, "fast").step_env(KEY, state, jnp.array(action), PARAMS)


def test_a_traced_action_that_does_not_exist_is_clamped():
    power = jax.jit(ENV._power)
    for given, meant in ((9, 3), (-2, 0)):
        for a, b in zip(power(given), engines.discrete_power(jnp.int32(meant)), strict=True):
            assert float(a) == float(b)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"gravity": -12.0}, r"gravity=-12.0 .*\(-12, 0\)"),
        ({"gravity": 1}, r"gravity=1 .*\(-12, 0\)"),
        ({"wind_power": 21.0}, r"wind_power=21.0 .*\[0, 20\]"),
        ({"wind_power": np.array(30.0)}, r"wind_power=30.0 .*\[0, 20\]"),
        ({"turbulence_power": -0.1}, r"turbulence_power=-0.1 .*\[0, 2\]"),
        ({"enable_wind": "often"}, "enable_wind='often' .*True or False"),
        ({"solver": "slow"}, r"solver='slow'.*exact, fast"),
        ({"continuous": "no"}, "continuous='no'.*True or False"),
    ],
)
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        make("LunarLander-v3", **settings)


def test_the_papers_names_are_the_same_environments():
    env, params = make("LunarLanderContinuous-v2", solver="fast", wind_power=20.0)
    assert env.continuous and env.solver == "fast" and params.wind_power == 20.0
    assert env.action_space(params).shape == (2,) and env.name == "LunarLanderContinuous-v3"
    env, params = make("LunarLander-v2", solver="fast")
    assert not env.continuous and env.num_actions == 4
    assert LunarLander().solver == "exact"  # the name promises Gymnasium's lander
    assert params.max_steps_in_episode == 1000 and not params.enable_wind


def test_wind_is_gymnasiums_function_of_its_index():
    for index in (-9999, -37, 0, 12, 8000):
        expected = np.tanh(np.sin(0.02 * index) + np.sin(np.pi * 0.01 * index))
        wind, torque = engines.wind_forces(jnp.int32(index), jnp.int32(index), PARAMS)
        assert float(wind) == pytest.approx(15 * expected, abs=2e-3)
        assert float(torque) == pytest.approx(1.5 * expected, abs=2e-4)


def test_parameters_can_be_swept():
    def fall(gravity):
        params = PARAMS.replace(gravity=gravity, enable_wind=True)
        return ENV.reset_env(KEY, params)[0][3]

    speeds = jax.jit(jax.vmap(fall))(jnp.array([-10.0, -1.0]))
    assert float(speeds[1] - speeds[0]) == pytest.approx(9 * 0.02 * (20 / 3) / 50, rel=1e-3)


def test_describe_names_every_quantity_with_its_unit():
    obs, state = START(KEY, PARAMS)
    said = ENV.describe(state, PARAMS)
    assert set(said) == set(ENV.quantities)
    assert all(unit and meaning for unit, meaning in ENV.quantities.values())
    assert float(said["x"]) == pytest.approx(10 * float(obs[0]), abs=1e-5)
    assert float(said["y_velocity"]) == pytest.approx(float(obs[3]) * 7.5, rel=1e-5)
    assert float(said["height_above_pad"]) == pytest.approx(40 / 3 - 3.3, abs=0.2)
    assert float(said["angle_degrees"]) == pytest.approx(np.degrees(float(obs[4])), rel=1e-5)
    assert not said["crashed"] and not said["at_rest"] and bool(said["over_pad"])


@pytest.fixture(scope="module")
def full_size():
    return jax.jit(lambda *scene: picture.render(*scene, height=400, width=600))


@pytest.fixture(scope="module")
def small():
    one = lambda *scene: picture.render(*scene, height=48, width=72)  # noqa: E731
    return jax.jit(jax.vmap(one, (None, None, 0)))


def test_pictures_are_gymnasiums(full_size):
    for frame, poses, ground in zip(
        RECORDED["frames"], RECORDED["frame_poses"], RECORDED["frame_terrain"], strict=True
    ):
        ours = full_size(Pose(Vec2(poses[:, 0], poses[:, 1]), poses[:, 2]), ground, NONE)
        assert ours.dtype == jnp.uint8 and ours.shape == frame.shape
        difference = np.abs(np.asarray(ours).astype(int) - frame)
        # Gymnasium rounds corners to pixels, which moves edges by parts of one. A lander that is
        # a pixel beside its place makes 0.1 by itself.
        assert difference.mean() < 0.5
        assert (difference.max(-1) > 128).mean() < 2e-3


def test_windows_of_the_picture_show_all_that_is_drawn():
    """Wherever the lander is, and however its legs lie after a flight and a crash."""

    @jax.jit
    @jax.vmap
    def draw_both(*scene):
        at, unit = picture.canvas(400, 600)
        whole = draw.to_uint8(picture.scene(at, *scene, unit))
        return picture.render(*scene, height=400, width=600), whole

    state = jax.tree.map(lambda leaf: leaf[::4], fly(KEY, LunarLanderParams(enable_wind=True))[0])
    poses, power = state.world.poses, jax.tree.map(np.ones_like, state.power)
    across = np.linspace(-11.0, 11.0, len(state.time), dtype=np.float32)[:, None]
    moved = poses._replace(center=poses.center + Vec2(across, 7 * np.sin(across)))
    for shown in (poses, moved):
        windows, whole = map(np.asarray, draw_both(shown, state.terrain, power))
        assert np.abs(windows.astype(int) - whole).max() <= 1


def test_exhaust_is_drawn_behind_the_engines_that_fire(small):
    powers = [NONE, *(engines.discrete_power(jnp.int32(a)) for a in (1, 2, 3))]
    poses = jax.tree.map(jnp.float32, stack(placement()))
    poses = poses._replace(center=poses.center - Vec2(0.0, 4.0))
    frames = np.asarray(small(poses, jnp.full(11, 3.3), stack(powers))).astype(int)
    reds = frames[..., 0] > frames[..., 1] + 30  # flags are as green as they are red
    assert not reds[0].any() and all(red.any() for red in reds[1:])
    middle = 36
    columns = [np.nonzero(red)[1] for red in reds[1:]]
    assert columns[0].min() > middle and columns[2].max() < middle  # opposite to the push
    rows = np.nonzero(reds[2])[0]
    assert rows.min() > np.nonzero(reds[1])[0].max()  # below the hull


def test_a_picture_too_small_is_refused():
    _, state = START(KEY, PARAMS)
    with pytest.raises(ValueError, match="at least 16"):
        ENV.render(state, PARAMS, height=15, width=100)


@pytest.mark.slow
@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("solver", ["exact", "fast"])
def test_the_contract_is_kept(continuous, solver):
    check_env(LunarLander(continuous, solver), deep=True)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["exact", "fast"])
def test_a_lane_does_not_notice_its_neighbours_nor_how_it_is_compiled(solver):
    env = LunarLander(solver=solver)
    _, states = env.reset_batch(KEY, PARAMS, 8)
    actions, noise = jnp.arange(8) % 4, jax.random.uniform(KEY, (8, 2), minval=-1.0)

    def step(state, action, noise):
        return env.advance(state, action, noise, PARAMS)[:4]

    def many(states, _):
        stepped = jax.vmap(step)(states, actions, noise)
        return stepped[1], stepped

    _, batched = jax.lax.scan(many, states, None, length=3)
    single = jax.jit(step)
    for lane in range(8):
        state = jax.tree.map(lambda leaf, lane=lane: leaf[lane], states)
        for time in range(3):
            one = single(state, actions[lane], noise[lane])
            same = jax.tree.map(lambda leaf, t=time, lane=lane: leaf[t, lane], batched)
            for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(same), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
            state = one[1]


@pytest.mark.slow
@pytest.mark.parametrize("wind", [False, True])
@pytest.mark.parametrize("solver", ["exact", "fast"])
def test_a_million_random_steps_with_restarts_stay_finite_and_in_their_space(solver, wind):
    """But for the angle of a lander that rolls over twice, in wind or with the coarse solver."""
    lanes, steps = 1024, 200
    env, params = LunarLander(solver=solver), LunarLanderParams(enable_wind=wind)
    venv, space = vectorize(env, lanes), env.observation_space(params)
    held = np.ones(8, bool) if solver == "exact" and not wind else np.arange(8) != ANGLE

    @jax.jit
    def fly(state, key):
        state, seen = rollout(
            venv,
            params,
            state,
            lambda key: jax.random.randint(key, (lanes,), 0, 4),
            lambda obs, action: (action, ()),
            key,
            steps,
        )
        inside = (seen.next_obs >= space.low) & (seen.next_obs <= space.high)
        leaves = jax.tree.leaves((state, seen.next_obs, seen.reward))
        numbers = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
        finite = jnp.array([jnp.isfinite(leaf).all() for leaf in numbers]).all()
        return state, (finite, inside[..., held].all(), seen.terminated.sum())

    state = venv.reset(KEY, params)
    for turn in range(5):
        state, (finite, inside, ends) = fly(state, jax.random.key(turn))
        assert bool(finite) and bool(inside) and int(ends) > lanes
