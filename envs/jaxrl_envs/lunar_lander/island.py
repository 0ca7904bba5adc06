"""The solver's loops over joints and contacts: b2Island::Solve of Box2D 2.3.

Hull and legs are always one island. Joints come before contacts, the second leg's before the
first's, as in the lists that Box2D makes of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_envs.lunar_lander import contacts, joints
from jaxrl_envs.lunar_lander.collision import Manifold
from jaxrl_envs.lunar_lander.contacts import Contact, ContactImpulse
from jaxrl_envs.lunar_lander.geometry import (
    BAUMGARTE,
    HULL,
    LINEAR_SLOP,
    MAX_ROTATION,
    MAX_TRANSLATION,
    TIME_STEP,
)
from jaxrl_envs.lunar_lander.joints import HINGES, JointConstraint, JointImpulse
from jaxrl_envs.lunar_lander.solver import BOX2D_VELOCITY_ITERATIONS, Solver
from jaxrl_envs.lunar_lander.vectors import Pose, Vec2, Velocity, dot

LEG_ORDER = (1, 0)


class Bodies(NamedTuple):
    """Hull, first and second leg."""

    poses: list[Pose]
    velocities: list[Velocity]


class LegContact(NamedTuple):
    """A contact of leg 0 or 1, with the impulse that it begins with."""

    leg: int
    manifold: Manifold
    contact: Contact
    impulse: ContactImpulse


class Solution(NamedTuple):
    """Bodies after the step, impulses to begin the next one with, and whether poses settled."""

    bodies: Bodies
    joints: list[JointImpulse]
    limits: list[jax.Array]
    contacts: list[ContactImpulse]
    settled: jax.Array


def solve(
    bodies: Bodies,
    touching: list[LegContact],
    last_joints: list[tuple[JointImpulse, jax.Array]],
    forces: Any,
    solver: Solver,
) -> Solution:
    """One step of the island.

    Args:
        bodies: as they are.
        touching: contacts, first leg's first.
        last_joints: of each leg its joint's impulse and active limit in the last step.
        forces: `world.Forces`.
        solver: how many iterations of what.
    """
    hull, *legs = _accelerate(bodies.velocities, forces)
    impulses: list[ContactImpulse] = []
    for c in touching:
        impulse, legs[c.leg] = contacts.warm_start(c.contact, c.impulse, legs[c.leg])
        impulses.append(impulse)
    constraints: list[Any] = [None, None]
    pins: list[Any] = [None, None]
    for k in LEG_ORDER:
        constraints[k], pin = joints.prepare(
            HINGES[k], bodies.poses[0], bodies.poses[1 + k], *last_joints[k]
        )
        if solver.folded_motor:
            pin = joints.wind_up(HINGES[k], constraints[k], pin, BOX2D_VELOCITY_ITERATIONS)
        hull, legs[k] = joints.apply(constraints[k], pin.pin, pin.motor + pin.limit, hull, legs[k])
        pins[k] = pin

    velocities, pins, impulses = _solve_velocities(
        [hull, *legs], constraints, pins, touching, impulses, solver
    )
    moved = [_move(p, v) for p, v in zip(bodies.poses, velocities, strict=True)]
    limits = [c.limit for c in constraints]
    poses, settled = _solve_positions([p for p, _ in moved], limits, touching, solver)
    return Solution(Bodies(poses, [v for _, v in moved]), pins, limits, impulses, settled)


def _accelerate(velocities: list[Velocity], forces: Any) -> list[Velocity]:
    """Velocities after a time step of gravity, and of wind on the hull."""
    fall = Vec2(0.0, TIME_STEP * forces.gravity)
    hull, *legs = [v._replace(linear=v.linear + fall) for v in velocities]
    hull = Velocity(
        hull.linear + (TIME_STEP * HULL.inverse_mass) * forces.push,
        hull.angular + TIME_STEP * HULL.inverse_inertia * forces.torque,
    )
    return [hull, *legs]


def _solve_velocities(
    velocities: list[Velocity],
    constraints: list[JointConstraint],
    pins: list[JointImpulse],
    touching: list[LegContact],
    impulses: list[ContactImpulse],
    solver: Solver,
) -> tuple[list[Velocity], list[JointImpulse], list[ContactImpulse]]:
    """All velocity iterations: every joint, then every contact, over and over."""
    solve_joint = joints.solve_velocity_folded if solver.folded_motor else joints.solve_velocity

    def iterate(_: Any, carry: Any) -> Any:
        (hull, *legs), pins, impulses = carry
        pins, impulses = list(pins), list(impulses)
        for k in LEG_ORDER:
            pins[k], hull, legs[k] = solve_joint(HINGES[k], constraints[k], pins[k], hull, legs[k])
        for i, c in enumerate(touching):
            impulses[i], legs[c.leg] = contacts.solve_velocity(c.contact, impulses[i], legs[c.leg])
        return [hull, *legs], pins, impulses

    return jax.lax.fori_loop(0, solver.velocity_iterations, iterate, (velocities, pins, impulses))


def _move(pose: Pose, velocity: Velocity) -> tuple[Pose, Velocity]:
    """The pose a time step later, at no more than Box2D's greatest speeds."""
    step = TIME_STEP * velocity.linear
    distance = dot(step, step)
    slow = jnp.where(
        distance > MAX_TRANSLATION**2, MAX_TRANSLATION / jnp.sqrt(jnp.maximum(distance, 1e-12)), 1.0
    )
    angle = jnp.abs(TIME_STEP * velocity.angular)
    slow_turn = jnp.where(angle > MAX_ROTATION, MAX_ROTATION / jnp.maximum(angle, 1e-12), 1.0)
    velocity = Velocity(velocity.linear * slow, velocity.angular * slow_turn)
    return (
        Pose(pose.center + TIME_STEP * velocity.linear, pose.angle + TIME_STEP * velocity.angular),
        velocity,
    )


def _solve_positions(
    poses: list[Pose], limits: list[jax.Array], touching: list[LegContact], solver: Solver
) -> tuple[list[Pose], jax.Array]:
    """Position iterations until contacts and joints are in place, and whether they came to be."""

    def unsettled(carry: Any) -> jax.Array:
        iteration, _, settled = carry
        return (iteration < solver.position_iterations) & ~settled

    def iterate(carry: Any) -> Any:
        iteration, (hull, *legs), _ = carry
        settled = jnp.bool_(True)
        for c in touching:
            legs[c.leg], depth = contacts.solve_position(c.manifold, legs[c.leg], BAUMGARTE)
            settled &= depth >= -3 * LINEAR_SLOP
        for k in LEG_ORDER:
            hull, legs[k], near = joints.solve_position(HINGES[k], limits[k], hull, legs[k])
            settled &= near
        return iteration + 1, [hull, *legs], settled

    _, poses, settled = jax.lax.while_loop(
        unsettled, iterate, (jnp.int32(0), poses, jnp.bool_(False))
    )
    return poses, settled
