"""Plane vectors, rotations and poses as Box2D has them (b2Math.h), of traced scalars.

Every component is a scalar of its own. Under `vmap` a scalar becomes one contiguous array over the
batch, and the whole solver is arithmetic between such arrays: that is what makes it fast.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct


@struct.dataclass
class Vec2:
    """A vector in the plane; `x` to the right, `y` up."""

    x: Any
    y: Any

    def __add__(self, other: Vec2) -> Vec2:
        return Vec2(self.x + other.x, self.y + other.y)

    def __sub__(self, other: Vec2) -> Vec2:
        return Vec2(self.x - other.x, self.y - other.y)

    def __neg__(self) -> Vec2:
        return Vec2(-self.x, -self.y)

    def __mul__(self, scale: Any) -> Vec2:
        return Vec2(self.x * scale, self.y * scale)

    __rmul__ = __mul__


class Rotation(NamedTuple):
    """A rotation by its sine and cosine (b2Rot)."""

    sin: jax.Array
    cos: jax.Array


class Pose(NamedTuple):
    """Where a body is: its centre of mass, m, and its angle, rad (b2Position)."""

    center: Vec2
    angle: jax.Array


class Velocity(NamedTuple):
    """How a body moves: of its centre of mass, m/s, and its angular velocity, rad/s."""

    linear: Vec2
    angular: jax.Array


def dot(a: Vec2, b: Vec2) -> jax.Array:
    """The inner product."""
    return a.x * b.x + a.y * b.y


def cross(a: Vec2, b: Vec2) -> jax.Array:
    """The third component of the cross product."""
    return a.x * b.y - a.y * b.x


def turn(rate: Any, arm: Vec2) -> Vec2:
    """The velocity at the end of an arm that turns: `rate` × `arm`."""
    return Vec2(-rate * arm.y, rate * arm.x)


def length(a: Vec2) -> jax.Array:
    """The Euclidean length."""
    return jnp.sqrt(dot(a, a))


def rotation(angle: Any) -> Rotation:
    """The rotation by an angle, rad, counter-clockwise."""
    return Rotation(jnp.sin(angle), jnp.cos(angle))


def rotate(q: Rotation, v: Vec2) -> Vec2:
    """From local to world directions."""
    return Vec2(q.cos * v.x - q.sin * v.y, q.sin * v.x + q.cos * v.y)


def rotate_back(q: Rotation, v: Vec2) -> Vec2:
    """From world to local directions."""
    return Vec2(q.cos * v.x + q.sin * v.y, -q.sin * v.x + q.cos * v.y)


def push(
    velocity: Velocity, impulse: Vec2, arm: Vec2, inverse_mass: float, inverse_inertia: float
) -> Velocity:
    """The velocity after an impulse, N s, at the end of an arm from the centre of mass."""
    return Velocity(
        velocity.linear + inverse_mass * impulse,
        velocity.angular + inverse_inertia * cross(arm, impulse),
    )


def shift(
    pose: Pose, impulse: Vec2, arm: Vec2, inverse_mass: float, inverse_inertia: float
) -> Pose:
    """The same for a pose, with the pseudo-impulses of position solvers."""
    return Pose(
        pose.center + inverse_mass * impulse, pose.angle + inverse_inertia * cross(arm, impulse)
    )


def select(condition: Any, on_true: Any, on_false: Any) -> Any:
    """One tree or the other, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), on_true, on_false)


def stack(trees: Any) -> Any:
    """A sequence of equal trees as one tree with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def unstack(tree: Any) -> list[Any]:
    """The reverse of `stack`."""
    size = jax.tree.leaves(tree)[0].shape[0]
    return [jax.tree.map(lambda leaf, i=i: leaf[i], tree) for i in range(size)]
