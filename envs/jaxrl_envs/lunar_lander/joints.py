"""The revolute joints that hold the legs: b2RevoluteJoint of Box2D 2.3.

Each leg hangs on the hull's origin by a pin, with a motor that turns it outwards and two limits.
Body A is the hull, body B the leg.

pybox2d sets a joint's reference angle to the bodies' angle when it is made, ±0.05 rad; Gymnasium's
limits count from there.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_envs.lunar_lander.geometry import (
    ANGULAR_SLOP,
    HULL,
    LEG,
    LEG_AWAY,
    LEG_DOWN,
    LEG_SIDES,
    LINEAR_SLOP,
    MAX_ANGULAR_CORRECTION,
    TIME_STEP,
)
from jaxrl_envs.lunar_lander.vectors import (
    Pose,
    Vec2,
    Velocity,
    length,
    push,
    rotate,
    rotation,
    select,
    shift,
    turn,
)

MAX_MOTOR_IMPULSE = TIME_STEP * 40.0  # of a torque of 40 N m
INACTIVE, AT_LOWER, AT_UPPER = 0, 1, 2  # b2LimitState

MA, IA = HULL.inverse_mass, HULL.inverse_inertia
MB, IB = LEG.inverse_mass, LEG.inverse_inertia
ANGULAR_MASS = 1 / (IA + IB)


class Hinge(NamedTuple):
    """What is constant about one joint: anchors from the centres of mass, m, rad/s, rad."""

    anchor_hull: Vec2
    anchor_leg: Vec2
    motor_speed: float
    lower: float
    upper: float


def _hinge(side: int) -> Hinge:
    low, high = (0.4, 0.9) if side == -1 else (-0.9, -0.4)
    reference = 0.05 * side
    return Hinge(
        anchor_hull=-HULL.centroid,
        anchor_leg=Vec2(side * LEG_AWAY, LEG_DOWN),
        motor_speed=0.3 * side,
        lower=low + reference,
        upper=high + reference,
    )


HINGES = tuple(_hinge(side) for side in LEG_SIDES)


class JointImpulse(NamedTuple):
    """Impulses of one joint, kept from step to step: of the pin, N s; the others, N m s."""

    pin: Vec2
    limit: jax.Array
    motor: jax.Array


class JointConstraint(NamedTuple):
    """One joint at the poses of this step.

    Attributes:
        arm_hull, arm_leg: from the centres of mass to the pin.
        limit: `INACTIVE`, `AT_LOWER` or `AT_UPPER`.
        k13, k23: coupling of the pin to the angle.
        cofactors, determinant: of the 3×3 mass matrix; `(11, 12, 13, 22, 23, 33)`.
        pin_cofactors, pin_determinant: of its first 2×2 block; `(11, 12, 22)`.
    """

    arm_hull: Vec2
    arm_leg: Vec2
    limit: jax.Array
    k13: jax.Array
    k23: jax.Array
    cofactors: tuple[jax.Array, ...]
    determinant: jax.Array
    pin_cofactors: tuple[jax.Array, ...]
    pin_determinant: jax.Array


def _pin_mass(a: Vec2, b: Vec2) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The pin's effective inverse mass matrix `(11, 12, 22)`, of the arms to it."""
    return (
        MA + MB + a.y * a.y * IA + b.y * b.y * IB,
        -a.y * a.x * IA - b.y * b.x * IB,
        MA + MB + a.x * a.x * IA + b.x * b.x * IB,
    )


def prepare(
    hinge: Hinge, hull: Pose, leg: Pose, impulse: JointImpulse, last_limit: jax.Array
) -> tuple[JointConstraint, JointImpulse]:
    """The constraint at these poses, and what is left of the last step's impulse."""
    a, b = (
        rotate(rotation(hull.angle), hinge.anchor_hull),
        rotate(rotation(leg.angle), hinge.anchor_leg),
    )
    angle = leg.angle - hull.angle
    limit = jnp.where(
        angle <= hinge.lower, AT_LOWER, jnp.where(angle >= hinge.upper, AT_UPPER, INACTIVE)
    )
    fresh = (limit == INACTIVE) | (limit != last_limit)
    impulse = impulse._replace(limit=jnp.where(fresh, 0.0, impulse.limit))

    k11, k12, k22 = _pin_mass(a, b)
    k13, k23, k33 = -a.y * IA - b.y * IB, a.x * IA + b.x * IB, IA + IB
    c11, c12, c13 = k22 * k33 - k23 * k23, k13 * k23 - k12 * k33, k12 * k23 - k13 * k22
    c22, c23, c33 = k11 * k33 - k13 * k13, k12 * k13 - k11 * k23, k11 * k22 - k12 * k12
    return (
        JointConstraint(
            arm_hull=a,
            arm_leg=b,
            limit=limit,
            k13=k13,
            k23=k23,
            cofactors=(c11, c12, c13, c22, c23, c33),
            determinant=k11 * c11 + k12 * c12 + k13 * c13,
            pin_cofactors=(k22, -k12, k11),
            pin_determinant=c33,
        ),
        impulse,
    )


def apply(
    joint: JointConstraint, impulse: Vec2, twist: jax.Array, hull: Velocity, leg: Velocity
) -> tuple[Velocity, Velocity]:
    """Velocities of hull and leg after an impulse at the pin and one about it."""
    hull, leg = (
        push(hull, -impulse, joint.arm_hull, MA, IA),
        push(leg, impulse, joint.arm_leg, MB, IB),
    )
    return (
        hull._replace(angular=hull.angular - IA * twist),
        leg._replace(angular=leg.angular + IB * twist),
    )


def _pin_speed(joint: JointConstraint, hull: Velocity, leg: Velocity) -> Vec2:
    """How fast the leg's anchor leaves the hull's."""
    return (leg.linear + turn(leg.angular, joint.arm_leg)) - (
        hull.linear + turn(hull.angular, joint.arm_hull)
    )


def _solve(joint: JointConstraint, speed: Vec2, twist: jax.Array) -> tuple[Vec2, jax.Array]:
    """The impulses that undo a speed of the pin and of the angle together.

    Divided by the determinant instead of multiplied by its inverse, here and in the contacts: XLA
    repeats cheap arithmetic in everything that uses its result, but never a division. In a chain
    as long as this solver's that is the difference between doing the work once and ten times.
    """
    c11, c12, c13, c22, c23, c33 = joint.cofactors
    return (
        Vec2(
            -(c11 * speed.x + c12 * speed.y + c13 * twist) / joint.determinant,
            -(c12 * speed.x + c22 * speed.y + c23 * twist) / joint.determinant,
        ),
        -(c13 * speed.x + c23 * speed.y + c33 * twist) / joint.determinant,
    )


def _solve_pin(joint: JointConstraint, speed: Vec2, twist_impulse: jax.Array) -> Vec2:
    """The impulse that undoes a speed of the pin beside a given impulse about it."""
    x = -speed.x - joint.k13 * twist_impulse
    y = -speed.y - joint.k23 * twist_impulse
    c11, c12, c22 = joint.pin_cofactors
    return Vec2(
        (c11 * x + c12 * y) / joint.pin_determinant, (c12 * x + c22 * y) / joint.pin_determinant
    )


def solve_velocity(
    hinge: Hinge, joint: JointConstraint, impulse: JointImpulse, hull: Velocity, leg: Velocity
) -> tuple[JointImpulse, Velocity, Velocity]:
    """One iteration as Box2D's: the motor, then the pin with the limit where that is active."""
    speed = leg.angular - hull.angular - hinge.motor_speed
    motor = jnp.clip(impulse.motor - ANGULAR_MASS * speed, -MAX_MOTOR_IMPULSE, MAX_MOTOR_IMPULSE)
    change = motor - impulse.motor
    hull = hull._replace(angular=hull.angular - IA * change)
    leg = leg._replace(angular=leg.angular + IB * change)

    speed = _pin_speed(joint, hull, leg)
    both, limit_change = _solve(joint, speed, leg.angular - hull.angular)
    limit = impulse.limit + limit_change
    pulls = jnp.where(joint.limit == AT_LOWER, limit < 0, limit > 0)
    holds = (joint.limit != INACTIVE) & ~pulls
    # A limit that would pull is given up, its impulse with it; an inactive one has none.
    alone = _solve_pin(joint, speed, -impulse.limit)
    pin_change = select(holds, both, alone)
    limit_change = jnp.where(holds, limit_change, -impulse.limit)
    hull, leg = apply(joint, pin_change, limit_change, hull, leg)
    return (
        JointImpulse(impulse.pin + pin_change, impulse.limit + limit_change, motor),
        hull,
        leg,
    )


def wind_up(
    hinge: Hinge, joint: JointConstraint, impulse: JointImpulse, iterations: int
) -> JointImpulse:
    """The motor's impulse after that many of Box2D's iterations against an active limit.

    A leg at the limit that its motor turns it to does not move, and motor and limit wind each
    other up: by the same amount in every iteration, until the motor is at its greatest.
    """
    against = joint.limit == (AT_LOWER if hinge.motor_speed < 0 else AT_UPPER)
    wound = impulse.motor + iterations * hinge.motor_speed * ANGULAR_MASS
    change = jnp.clip(wound, -MAX_MOTOR_IMPULSE, MAX_MOTOR_IMPULSE) - impulse.motor
    change = jnp.where(against, change, 0.0)
    return impulse._replace(motor=impulse.motor + change, limit=impulse.limit - change)


def solve_velocity_folded(
    hinge: Hinge, joint: JointConstraint, impulse: JointImpulse, hull: Velocity, leg: Velocity
) -> tuple[JointImpulse, Velocity, Velocity]:
    """One iteration with the motor, or the active limit, solved together with the pin.

    Box2D solves them in turn, and because a leg turns about its own centre thirty times more
    easily than about the pin, that converges by 3 % an iteration: Gymnasium's 180 are needed.
    Folded into one block it converges in a few. `wind_up` does what an active limit does to the
    motor.
    """
    limited = joint.limit != INACTIVE
    target = jnp.where(limited, 0.0, hinge.motor_speed)
    speed = _pin_speed(joint, hull, leg)
    both, twist = _solve(joint, speed, leg.angular - hull.angular - target)
    before = jnp.where(limited, impulse.limit, impulse.motor)
    after = jnp.where(
        limited,
        jnp.where(
            joint.limit == AT_LOWER,
            jnp.maximum(before + twist, 0.0),
            jnp.minimum(before + twist, 0.0),
        ),
        jnp.clip(before + twist, -MAX_MOTOR_IMPULSE, MAX_MOTOR_IMPULSE),
    )
    within = after == before + twist
    twist = after - before
    pin_change = select(within, both, _solve_pin(joint, speed, twist))
    hull, leg = apply(joint, pin_change, twist, hull, leg)
    impulse = JointImpulse(
        pin=impulse.pin + pin_change,
        limit=jnp.where(limited, after, impulse.limit),
        motor=jnp.where(limited, impulse.motor, after),
    )
    return impulse, hull, leg


def solve_position(
    hinge: Hinge, limit: jax.Array, hull: Pose, leg: Pose
) -> tuple[Pose, Pose, jax.Array]:
    """Moves the bodies back onto pin and limit, once, and says whether they were near."""
    angle = leg.angle - hull.angle
    below = jnp.clip(angle - hinge.lower + ANGULAR_SLOP, -MAX_ANGULAR_CORRECTION, 0.0)
    above = jnp.clip(angle - hinge.upper - ANGULAR_SLOP, 0.0, MAX_ANGULAR_CORRECTION)
    at_lower, at_upper = limit == AT_LOWER, limit == AT_UPPER
    beyond = jnp.where(at_lower, below, jnp.where(at_upper, above, 0.0))
    error = jnp.where(at_lower, hinge.lower - angle, jnp.where(at_upper, angle - hinge.upper, 0.0))
    twist = -ANGULAR_MASS * beyond
    hull = hull._replace(angle=hull.angle - IA * twist)
    leg = leg._replace(angle=leg.angle + IB * twist)

    a = rotate(rotation(hull.angle), hinge.anchor_hull)
    b = rotate(rotation(leg.angle), hinge.anchor_leg)
    gap = (leg.center + b) - (hull.center + a)
    k11, k12, k22 = _pin_mass(a, b)
    determinant = k11 * k22 - k12 * k12
    impulse = Vec2(
        (k12 * gap.y - k22 * gap.x) / determinant, (k12 * gap.x - k11 * gap.y) / determinant
    )
    solved = (length(gap) <= LINEAR_SLOP) & (error <= ANGULAR_SLOP)
    return shift(hull, -impulse, a, MA, IA), shift(leg, impulse, b, MB, IB), solved
