"""Pictures and quantities of gymnax's environments: Gymnasium's look, the state's numbers."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_envs import views

gymnax = pytest.importorskip("gymnax")

FIELDS = {
    "Acrobot-v1": ("joint_angle1", "joint_angle2", "velocity_1", "velocity_2"),
    "Pendulum-v1": ("theta", "theta_dot", "last_u"),
    "MountainCar-v0": ("position", "velocity"),
    "MountainCarContinuous-v0": ("position", "velocity"),
}
STATES = {
    "Acrobot-v1": [(0.7, -1.1, 0, 0), (2.5, 0.4, 0, 0), (-1.2, 2.0, 0, 0)],
    "Pendulum-v1": [(0.6, 0, 1.5), (-2.0, 0, -2.0), (3.0, 0, 0.3)],
    "MountainCar-v0": [(-0.7, 0), (0.2, 0), (-0.5, 0)],
    "MountainCarContinuous-v0": [(-0.9, 0), (0.4, 0)],
}
# Largest mean absolute difference, of 255. Gymnasium rounds positions to pixels; a line of the
# acrobot's that is off by a pixel makes 1.0.
LARGEST = {
    "Acrobot-v1": 0.35,
    "Pendulum-v1": 0.45,
    "MountainCar-v0": 0.4,
    "MountainCarContinuous-v0": 0.4,
}
MINATAR = [
    "Breakout",
    *(pytest.param(n, marks=pytest.mark.slow) for n in ("Asterix", "Freeway", "SpaceInvaders")),
    pytest.param("Seaquest", marks=pytest.mark.slow),
]


def supplied(name):
    env, params = gymnax.make(name)
    views.supply(env, params)
    state = jax.tree.map(jnp.asarray, env.reset_env(jax.random.key(0), params)[1])
    return env, params, state


def put(env, name, values):
    """Puts Gymnasium's environment into a state."""
    env.state = np.array(values[:2] if name == "Pendulum-v1" else values)
    if name == "Pendulum-v1":
        env.last_u = values[2]


@pytest.mark.parametrize("name", FIELDS)
def test_pictures_equal_gymnasiums(name, monkeypatch):
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    env, params, start = supplied(name)
    theirs = gymnasium.make(name, render_mode="rgb_array")
    theirs.reset(seed=0)
    render = jax.jit(lambda state: env.render(state, params))
    for values in STATES[name]:
        put(theirs.unwrapped, name, values)
        frame = theirs.render().astype(int)
        named = zip(FIELDS[name], map(jnp.float32, values), strict=True)
        ours = np.asarray(render(start.replace(**dict(named)))).astype(int)
        assert ours.shape == frame.shape
        assert np.abs(frame - ours).mean() < LARGEST[name]
        assert (np.abs(frame - ours).max(-1) > 128).mean() < 2e-3
    theirs.close()


@pytest.mark.parametrize("name", [*FIELDS, "Breakout-MinAtar", "CartPole-v1"])
def test_describe_names_every_quantity_with_its_unit(name):
    env, params, state = supplied(name)
    said = env.describe(state, params)
    assert set(said) == set(env.quantities)
    assert all(unit and meaning for unit, meaning in env.quantities.values())
    assert all(value.shape == () for value in said.values())


def test_described_quantities_are_right():
    env, params, state = supplied("Acrobot-v1")
    state = state.replace(joint_angle1=jnp.float32(jnp.pi), joint_angle2=jnp.float32(0))
    assert float(env.describe(state, params)["tip_height"]) == pytest.approx(2)
    env, params, state = supplied("Pendulum-v1")
    said = env.describe(state.replace(theta=jnp.float32(2 * np.pi + 0.1)), params)
    assert float(said["angle"]) == pytest.approx(0.1, abs=1e-5)
    env, params, state = supplied("MountainCar-v0")
    said = env.describe(state.replace(position=jnp.float32(-np.pi / 6)), params)
    assert float(said["height"]) == pytest.approx(0.1)
    assert float(said["distance_to_goal"]) == pytest.approx(0.5 + np.pi / 6)


def test_where_breakouts_ball_goes():
    env, params, state = supplied("Breakout-MinAtar")
    step = jax.jit(env.step_env)
    for direction in range(4):
        # In the middle of an empty board, so that the ball meets nothing.
        here = dict(ball_x=jnp.array(4), ball_y=jnp.array(5), ball_dir=jnp.array(direction))
        before = state.replace(**here, brick_map=jnp.zeros((10, 10)).at[1, 0].set(1))
        said = env.describe(before, params)
        after = env.describe(step(jax.random.key(0), before, 0, params)[1], params)
        assert int(after["ball_row"]) == 5 + int(said["ball_moves_down"])
        assert int(after["ball_column"]) == 4 + int(said["ball_moves_right"])
        assert int(said["bricks"]) == 1


@pytest.mark.parametrize("name", MINATAR)
def test_the_planes_of_a_board_have_their_colours(name):
    env, params, state = supplied(f"{name}-MinAtar")
    frame = np.asarray(jax.jit(lambda s: env.render(s, params, height=100, width=100))(state))
    middles = frame[5::10, 5::10]
    planes = np.asarray(env.get_obs(state, params)) > 0
    top = np.where(planes.any(-1), planes.shape[2] - 1 - planes[..., ::-1].argmax(-1), -1)
    colors = np.array([*views.boards.PALETTE, views.boards.GROUND])
    np.testing.assert_array_equal(middles, colors[top])
    assert len(np.unique(top)) > 1


def test_what_an_environment_has_of_its_own_is_kept():
    env, params = gymnax.make("Acrobot-v1")
    env.render = "its own"
    views.supply(env, params)
    assert env.render == "its own" and callable(env.describe)


def test_an_environment_of_no_known_structure_is_left_as_it_is():
    env, params, _ = supplied("UmbrellaChain-bsuite")
    assert views.view_of(env, params) is None
    assert not hasattr(env, "render") and not hasattr(env, "describe")


@pytest.mark.parametrize("name", [*FIELDS, "Breakout-MinAtar"])
def test_any_shape_of_picture_from_16_pixels_on(name):
    env, params, state = supplied(name)
    frame = jax.eval_shape(lambda s: env.render(s, params, height=16, width=47), state)
    assert frame.shape == (16, 47, 3) and frame.dtype == jnp.uint8
    program = jax.make_jaxpr(lambda s: env.render(s, params, height=16, width=47))(state)
    assert name == "Breakout-MinAtar" or "gather" not in str(program)
    with pytest.raises(ValueError, match="at least 16 pixels"):
        env.render(state, params, height=15, width=40)
