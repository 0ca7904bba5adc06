"""Contacts of the legs with the ground: b2ContactSolver of Box2D 2.3.

The ground does not move, so that a contact pushes one body only. The hull has none: where it
touches the ground the episode is over.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_envs.lunar_lander.collision import Manifold, at_pose
from jaxrl_envs.lunar_lander.geometry import (
    FRICTION,
    LEG,
    LINEAR_SLOP,
    MAX_LINEAR_CORRECTION,
)
from jaxrl_envs.lunar_lander.vectors import (
    Pose,
    Vec2,
    Velocity,
    cross,
    dot,
    push,
    shift,
    turn,
)

M, I = LEG.inverse_mass, LEG.inverse_inertia  # noqa: E741
MAX_CONDITION = 1000.0  # beyond it two points count as one

Two = tuple[jax.Array, jax.Array]


class ContactImpulse(NamedTuple):
    """Impulses of a contact's two points, N s."""

    normal: Two
    tangent: Two


NO_IMPULSE = ContactImpulse((0.0, 0.0), (0.0, 0.0))


class Contact(NamedTuple):
    """A manifold prepared for the velocity solver (b2ContactVelocityConstraint).

    Attributes:
        active: bool of each point.
        normal: out of the ground.
        arms: from the leg's centre of mass to the points.
        coupling: the two points' effective inverse mass matrix, `(11, 12, 22)`.
        determinant: of that matrix; 1 where there is one point.
        tangent_coupling: effective inverse mass of each point along the ground, 1/kg.
    """

    active: tuple[jax.Array, jax.Array]
    normal: Vec2
    arms: tuple[Vec2, Vec2]
    coupling: tuple[jax.Array, jax.Array, jax.Array]
    determinant: jax.Array
    tangent_coupling: Two


def _tangent(normal: Vec2) -> Vec2:
    return Vec2(normal.y, -normal.x)


def prepare(manifold: Manifold, pose: Pose) -> Contact:
    """The contact of a manifold with the leg at that pose."""
    points = at_pose(manifold, pose)
    arms = tuple(p - pose.center for p in points.middles)
    normal, tangent = points.normal, _tangent(points.normal)
    rn = [cross(r, normal) for r in arms]
    rt = [cross(r, tangent) for r in arms]
    k11, k12, k22 = M + I * rn[0] * rn[0], M + I * rn[0] * rn[1], M + I * rn[1] * rn[1]
    determinant = k11 * k22 - k12 * k12
    both = manifold.both & (k11 * k11 < MAX_CONDITION * determinant)
    return Contact(
        active=(manifold.touching, both),
        normal=normal,
        arms=arms,
        coupling=(k11, k12, k22),
        determinant=jnp.where(both, determinant, 1.0),
        tangent_coupling=tuple(M + I * r * r for r in rt),
    )


def warm_start(
    contact: Contact, impulse: ContactImpulse, leg: Velocity
) -> tuple[ContactImpulse, Velocity]:
    """Applies the last step's impulses of those points that are still there."""
    impulse = ContactImpulse(
        *(
            tuple(jnp.where(on, x, 0.0) for on, x in zip(contact.active, pair, strict=True))
            for pair in impulse
        )
    )
    tangent = _tangent(contact.normal)
    for arm, n, t in zip(contact.arms, impulse.normal, impulse.tangent, strict=True):
        leg = push(leg, n * contact.normal + t * tangent, arm, M, I)
    return impulse, leg


def solve_velocity(
    contact: Contact, impulse: ContactImpulse, leg: Velocity
) -> tuple[ContactImpulse, Velocity]:
    """One iteration: friction of each point, then both points' normal impulses together."""
    tangents, leg = _solve_friction(contact, impulse, leg)
    normals = _solve_normals(contact, impulse.normal, leg)
    changes = [new - old for new, old in zip(normals, impulse.normal, strict=True)]
    leg = Velocity(
        leg.linear + (M * (changes[0] + changes[1])) * contact.normal,
        leg.angular
        + I
        * sum(d * cross(arm, contact.normal) for d, arm in zip(changes, contact.arms, strict=True)),
    )
    return ContactImpulse(normals, tangents), leg


def _speed(leg: Velocity, arm: Vec2, direction: Vec2) -> jax.Array:
    return dot(leg.linear + turn(leg.angular, arm), direction)


def _solve_friction(
    contact: Contact, impulse: ContactImpulse, leg: Velocity
) -> tuple[Two, Velocity]:
    tangent = _tangent(contact.normal)
    solved = []
    for i in range(2):
        arm, bound = contact.arms[i], FRICTION * impulse.normal[i]
        wanted = impulse.tangent[i] - _speed(leg, arm, tangent) / contact.tangent_coupling[i]
        new = jnp.where(contact.active[i], jnp.clip(wanted, -bound, bound), impulse.tangent[i])
        leg = push(leg, (new - impulse.tangent[i]) * tangent, arm, M, I)
        solved.append(new)
    return tuple(solved), leg


def _solve_normals(contact: Contact, before: Two, leg: Velocity) -> Two:
    """The total normal impulses: of two points, by trying the four cases of who pushes.

    With b the speeds that the points would have without impulses, the impulses x and the speeds
    v = K x + b must all be at least 0, and one of each point's x and v must be 0.
    """
    k11, k12, k22 = contact.coupling
    n1, n2 = before
    v1, v2 = (_speed(leg, arm, contact.normal) for arm in contact.arms)
    single = jnp.maximum(n1 - v1 / k11, 0.0)
    b1, b2 = v1 - (k11 * n1 + k12 * n2), v2 - (k12 * n1 + k22 * n2)
    x1 = (k12 * b2 - k22 * b1) / contact.determinant
    x2 = (k12 * b1 - k11 * b2) / contact.determinant
    only1, only2 = -b1 / k11, -b2 / k22
    both_push = (x1 >= 0) & (x2 >= 0)
    first_pushes = (only1 >= 0) & (k12 * only1 + b2 >= 0)
    second_pushes = (only2 >= 0) & (k12 * only2 + b1 >= 0)
    none_pushes = (b1 >= 0) & (b2 >= 0)

    def choose(both: jax.Array, first: Any, second: Any, old: jax.Array) -> jax.Array:
        no_case = jnp.where(none_pushes, 0.0, old)
        return jnp.where(
            both_push,
            both,
            jnp.where(first_pushes, first, jnp.where(second_pushes, second, no_case)),
        )

    one, two = contact.active
    return (
        jnp.where(two, choose(x1, only1, 0.0, n1), jnp.where(one, single, n1)),
        jnp.where(two, choose(x2, 0.0, only2, n2), n2),
    )


def solve_position(manifold: Manifold, pose: Pose, baumgarte: float) -> tuple[Pose, jax.Array]:
    """Pushes a leg out of the ground, point by point, and says how deep it was, m, at most 0."""
    deepest = jnp.zeros_like(pose.angle)
    for i, active in enumerate((manifold.touching, manifold.both)):
        points = at_pose(manifold, pose)
        depth = points.separations[i]
        deepest = jnp.minimum(deepest, jnp.where(active, depth, 0.0))
        correction = jnp.clip(baumgarte * (depth + LINEAR_SLOP), -MAX_LINEAR_CORRECTION, 0.0)
        arm = points.clipped[i] - pose.center
        rn = cross(arm, points.normal)
        impulse = jnp.where(active, -correction / (M + I * rn * rn), 0.0)
        pose = shift(pose, impulse * points.normal, arm, M, I)
    return pose, deepest


def update_flags(
    touched: jax.Array, ground_contact: jax.Array, bits: jax.Array, tested: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The edges touched now, and Gymnasium's flag after the listener's calls.

    Leaving any edge clears the flag, even where the leg still touches another.
    """
    now = (touched & ~tested) | bits
    begun, ended = (now & ~touched) != 0, (touched & ~now) != 0
    return now, ~ended & (begun | ground_contact)
