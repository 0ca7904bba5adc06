"""LunarLander's physics against episodes that Gymnasium and Box2D played."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lunar_lander_replay import (
    RECORDED,
    SHORT,
    chosen,
    flight_errors,
    recorded,
    replay,
    return_differences,
    same_outcomes,
    starts,
)

from jaxrl_envs.lunar_lander import (
    collision,
    contacts,
    start,
    terrain,
    world,
)
from jaxrl_envs.lunar_lander.collision import clip_faces, find_faces
from jaxrl_envs.lunar_lander.geometry import HULL, LEG, SKIN
from jaxrl_envs.lunar_lander.joints import HINGES
from jaxrl_envs.lunar_lander.solver import SOLVERS
from jaxrl_envs.lunar_lander.terrain import Edge
from jaxrl_envs.lunar_lander.vectors import Pose, Vec2, Velocity

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FLIGHT = ((10, 1e-6), (50, 1e-5), (100, 5e-5))


@pytest.fixture(scope="module")
def short():
    """All recorded episodes of at most 200 steps, of every kind, with the exact solver."""
    return replay("exact", tuple(chosen(SHORT)), SHORT)


def of(played, **kind):
    return {i: played[i] for i in chosen(SHORT, **kind)}


def test_masses_are_box2ds():
    assert HULL.mass == pytest.approx(4.816667, rel=1e-6)
    assert HULL.centroid.y == pytest.approx(0.1013067, rel=1e-5) and abs(HULL.centroid.x) < 1e-12
    assert 1 / HULL.inverse_inertia == pytest.approx(0.78388, rel=1e-5)
    assert LEG.mass == pytest.approx(0.0711111, rel=1e-6)
    assert 1 / LEG.inverse_inertia == pytest.approx(0.00179095, rel=1e-5)


def test_limits_count_from_the_angle_that_a_joint_is_made_at():
    limits = [(hinge.lower, hinge.upper) for hinge in HINGES]
    np.testing.assert_allclose(limits, [(0.35, 0.85), (-0.85, -0.35)])


def test_terrain_is_gymnasiums_with_a_flat_pad():
    draws = np.array([RECORDED["heights"][0], np.arange(12.0)])
    ground = np.asarray(terrain.smooth(jnp.asarray(draws)))
    assert ground.shape == (2, 11)
    np.testing.assert_allclose(ground[:, 4:7], 3.3, rtol=1e-6)
    np.testing.assert_allclose(ground[1, [0, 1]], [0.33 * (11 + 0 + 1), 0.33 * 3], rtol=1e-6)
    x = jnp.array([0.0, 1.0, 20.0, 9.3])
    height = jax.vmap(lambda x: terrain.height_at(jnp.asarray(ground[0]), x))(x)
    expected = [ground[0, 0], ground[0, :2].mean(), ground[0, 10], 3.3]
    np.testing.assert_allclose(height, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("x", "numbers"), [(-3.0, [0, 1]), (4.9, [1, 2]), (5.1, [2, 3]), (25, [8, 9])]
)
def test_edges_near_a_body_reach_a_metre_to_either_side(x, numbers):
    edges = terrain.edges_near(jnp.arange(11.0), jnp.float32(x))
    assert [int(edge.number) for edge in edges] == numbers
    for edge in edges:
        assert float(edge.end.x - edge.start.x) == 2.0
        assert float(edge.start.x) == 2 * float(edge.start.y)


def flat_edge(height=0.0):
    y = jnp.float32(height)
    return Edge(Vec2(jnp.float32(4), y), Vec2(jnp.float32(6), y), jnp.int32(2))


def leg_at(x, y, angle=0.0):
    return Pose(Vec2(jnp.float32(x), jnp.float32(y)), jnp.float32(angle))


def test_a_leg_standing_on_an_edge_touches_it_in_two_points():
    pose = leg_at(5.0, 8 / 30 + 0.015)
    manifold = clip_faces(find_faces(LEG, pose, flat_edge()), pose)
    points = collision.at_pose(manifold, pose)
    assert bool(manifold.touching) and bool(manifold.both) and not bool(manifold.on_polygon)
    assert (float(points.normal.x), float(points.normal.y)) == pytest.approx((0, 1))
    np.testing.assert_allclose(points.separations, 0.015 - SKIN, atol=1e-6)
    np.testing.assert_allclose(
        sorted(float(p.x) for p in points.clipped), 5 + np.array([-2, 2]) / 30
    )
    assert float(collision.separation(LEG, pose, flat_edge())) == pytest.approx(0.015, abs=1e-6)


@pytest.mark.parametrize(("x", "y"), [(5.0, 0.3), (3.8, 0.2), (6.2, 0.2)])
def test_a_leg_beyond_the_skins_does_not_touch(x, y):
    pose = leg_at(x, y)
    assert not bool(clip_faces(find_faces(LEG, pose, flat_edge()), pose).touching)


def test_a_tilted_leg_touches_in_one_point_and_an_edges_end_in_its_side():
    pose = leg_at(5.0, 0.27, 0.5)
    one = clip_faces(find_faces(LEG, pose, flat_edge()), pose)
    assert bool(one.touching) and not bool(one.both)
    pose = leg_at(4 - 2 / 30 - 0.01, 0.1)
    end = clip_faces(find_faces(LEG, pose, flat_edge()), pose)
    assert bool(end.touching) and bool(end.on_polygon)


def test_a_contact_stops_a_falling_leg_and_holds_it_by_friction():
    pose = leg_at(5.0, 8 / 30 + 0.015)
    contact = contacts.prepare(clip_faces(find_faces(LEG, pose, flat_edge()), pose), pose)
    impulse = contacts.ContactImpulse((0.0, 0.0), (0.0, 0.0))
    leg = Velocity(Vec2(jnp.float32(0.1), jnp.float32(-2.0)), jnp.float32(0.0))
    for _ in range(30):
        impulse, leg = contacts.solve_velocity(contact, impulse, leg)
    np.testing.assert_allclose([leg.linear.x, leg.linear.y, leg.angular], 0, atol=1e-4)
    assert sum(map(float, impulse.normal)) == pytest.approx(2.0 * LEG.mass, rel=1e-3)
    assert sum(map(float, impulse.tangent)) == pytest.approx(-0.1 * LEG.mass, rel=1e-3)


def test_leaving_one_edge_clears_the_flag_while_another_is_touched():
    def flags(touched, flag, bits):
        now, after = contacts.update_flags(
            jnp.int32(touched), jnp.bool_(flag), jnp.int32(bits), jnp.int32(-1)
        )
        return int(now), bool(after)

    assert flags(0b00, False, 0b01) == (0b01, True)
    assert flags(0b01, True, 0b11) == (0b11, True)
    assert flags(0b11, True, 0b10) == (0b10, False)
    assert flags(0b10, False, 0b10) == (0b10, False)


def test_starts_are_those_of_gymnasiums_resets():
    rows = RECORDED["offset"][:-1] + np.arange(len(RECORDED["force"]))
    np.testing.assert_allclose(starts()[0], RECORDED["obs"][rows], atol=1e-6)


@pytest.mark.parametrize(("step", "tolerance"), FLIGHT)
def test_flights_are_gymnasiums(short, step, tolerance):
    errors = flight_errors(of(short, wind=False), step)
    assert errors.size >= (10 if step < 100 else 5)
    assert errors.max() <= tolerance


def test_short_episodes_end_as_gymnasiums(short):
    calm = of(short, continuous=False, wind=False)
    assert same_outcomes(calm) >= len(calm) - 1 and len(calm) > 15
    assert np.median(return_differences(calm)) <= 0.01


def test_short_episodes_end_as_gymnasiums_with_the_fast_solver_too():
    played = of(replay("fast", tuple(chosen(SHORT)), SHORT), continuous=False, wind=False)
    # It is slower to fall asleep: episodes that Gymnasium ends at step 190 may not end by 200.
    ended = {i: episode for i, episode in played.items() if len(episode.reward) < SHORT}
    assert same_outcomes(ended) >= len(ended) - 1 and len(ended) > 20
    assert flight_errors(played, 100).max() <= 2e-4


def test_continuous_and_windy_episodes_are_as_long_as_gymnasiums(short):
    for kind in ({"continuous": True}, {"wind": True}):
        played = of(short, **kind)
        assert len(played) >= 3
        for i, episode in played.items():
            assert len(episode.reward) == len(recorded(i).reward), RECORDED["seed"][i]
        # Impacts multiply roundings, which differ where the compiler's optimisations are off; the
        # slow tests hold returns to a hundredth.
        assert np.median(return_differences(played)) <= 1.0


@pytest.mark.slow
def test_starts_are_those_of_the_exact_solver():
    """What made `start.json`, done again; with the greatest wind and another gravity."""
    rng = np.random.default_rng(0)
    force = rng.uniform(-1015, 1015, (2048, 2)).astype(np.float32)
    torque = rng.uniform(-2, 2, 2048).astype(np.float32)

    @jax.jit
    @jax.vmap
    def exact(force, torque, gravity):
        forces = world.Forces(gravity, Vec2(force[0], force[1]), torque)
        return start.flat(world.step(world.placed(), jnp.zeros(11), forces, SOLVERS["exact"]))

    weightless = exact(force, torque, np.zeros(2048, np.float32))
    force_vectors = Vec2(force[:, 0], force[:, 1])
    fitted = start.fit(force_vectors, torque, weightless)
    # By what each coefficient adds to the number: the square of the angle is at most 1e-4.
    largest = np.abs(start.features(force_vectors, torque, weightless[:, start.HULL_ANGLE])).max(0)
    added, kept = (np.asarray(largest)[:, None] * rows for rows in (fitted, start.COEFFICIENTS))
    np.testing.assert_allclose(added[:, :18], kept[:, :18], rtol=0, atol=2e-6)
    gravity = rng.uniform(-12, 0, 2048).astype(np.float32)
    ours = start.flat(start.after_first_step(force_vectors, torque, gravity))
    errors = np.abs(exact(force, torque, gravity) - ours).max(0)
    assert errors[:18].max() < 1e-5  # poses and velocities
    # The first of two columns each: the pins' impulses. How motor and limit share theirs is not
    # linear, and matters little: the limit is left in the next step.
    assert errors[18:22].max() < 1e-5


@pytest.mark.slow
def test_all_discrete_episodes_end_as_gymnasiums_with_the_exact_solver():
    played = replay("exact", tuple(chosen(460, False, False)), 460)
    assert len(played) == 36
    for step, tolerance in FLIGHT:
        assert flight_errors(played, step).max() <= tolerance
    assert same_outcomes(played) >= 35
    assert np.median(return_differences(played)) <= 0.01


@pytest.mark.slow
def test_all_discrete_episodes_end_as_gymnasiums_with_the_fast_solver():
    played = replay("fast", tuple(chosen(460, False, False)), 460)
    assert same_outcomes(played) >= 34
    assert np.median(return_differences(played)) <= 3.0
    assert flight_errors(played, 100).max() <= 2e-4


@pytest.mark.slow
def test_all_continuous_and_windy_episodes_are_as_long_as_gymnasiums():
    which = sorted({*chosen(460, continuous=True), *chosen(460, wind=True)})
    played = replay("exact", tuple(which), 460)
    for i, episode in played.items():
        assert len(episode.reward) == len(recorded(i).reward), RECORDED["seed"][i]
    assert np.median(return_differences(played)) <= 0.01


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Box2D's generated code
def test_gymnasiums_pilot_scores_as_in_gymnasium_on_the_same_episodes(monkeypatch):
    pytest.importorskip("Box2D")
    monkeypatch.syspath_prepend(BENCHMARKS)
    from lunar_lander import gymnasiums, ours, paired

    theirs, exact = gymnasiums(400), ours("exact", 400)
    compared = paired(exact, theirs)
    assert abs(compared["difference"]) < 5.0
    assert compared["same_outcome"] > 0.95
