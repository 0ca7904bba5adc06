"""One step of the world: b2World::Step of Box2D 2.3 for a hull, two legs and the ground.

A step finds the contacts at the poses it begins with, solves velocities, moves the bodies, corrects
their poses, puts them to sleep, and last treats what would have passed through the ground. Flags
of contact therefore lag the motion by one step, unless the last part sets them.

Left out, because nothing of it shows before the episode is over: forces on the hull where it
touches the ground, and the flat edge at height 0 below the terrain.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl_envs.lunar_lander import collision, contacts, continuous, geometry, island
from jaxrl_envs.lunar_lander.contacts import Contact, ContactImpulse
from jaxrl_envs.lunar_lander.geometry import HULL, LEG, LINEAR_SLOP, SKIN, WORLD_HEIGHT
from jaxrl_envs.lunar_lander.joints import INACTIVE, JointImpulse
from jaxrl_envs.lunar_lander.solver import Solver
from jaxrl_envs.lunar_lander.terrain import EDGES_NEAR, edges_near
from jaxrl_envs.lunar_lander.vectors import Pose, Vec2, Velocity, stack, unstack

NO_FEATURE = -1


@struct.dataclass
class World:
    """What the world remembers from step to step.

    Attributes:
        poses, velocities: of hull, first and second leg, `[3]`.
        joints: impulses of the joints of the legs, `[2]`.
        limits: which of their limits were active, int32 `[2]`.
        features: of the last step's contacts, what they were made of; of each of two points int32
            `[4]`: first leg and its two edges, second leg and its two edges.
        impulses: of the same contacts.
        edges_touched: of each leg, a bit for every edge that it touches, int32 `[2]`.
        ground_contact: of each leg, what Gymnasium's listener says, bool `[2]`.
        hull_contact: whether the hull has touched the ground.
        hull_gap: distance of the hull from the ground, m; at a start merely far.
        rest_time: how long each body has hardly moved, s, `[3]`.
        awake: false once all have come to rest.
    """

    poses: Pose
    velocities: Velocity
    joints: JointImpulse
    limits: jax.Array
    features: tuple[jax.Array, jax.Array]
    impulses: ContactImpulse
    edges_touched: jax.Array
    ground_contact: jax.Array
    hull_contact: jax.Array
    hull_gap: jax.Array
    rest_time: jax.Array
    awake: jax.Array


class Forces(NamedTuple):
    """What acts throughout a step: gravity, m/s², and the wind on the hull, N and N m."""

    gravity: Any
    push: Vec2
    torque: Any


def at_rest(poses: Pose, velocities: Velocity, joints: JointImpulse) -> World:
    """A world in which nothing has touched yet.

    Args:
        poses, velocities: of hull and legs, `[..., 3]`.
        joints: of the legs, `[..., 2]`.
    """
    batch = poses.angle.shape[:-1]
    pairs = (*batch, 2 * EDGES_NEAR)
    zeros, none = jnp.zeros(pairs), jnp.full(pairs, NO_FEATURE)
    return World(
        poses=poses,
        velocities=velocities,
        joints=joints,
        limits=jnp.full((*batch, 2), INACTIVE, jnp.int32),
        features=(none, none),
        impulses=ContactImpulse((zeros, zeros), (zeros, zeros)),
        edges_touched=jnp.zeros((*batch, 2), jnp.int32),
        ground_contact=jnp.zeros((*batch, 2), bool),
        hull_contact=jnp.zeros(batch, bool),
        hull_gap=jnp.full(batch, WORLD_HEIGHT),
        rest_time=jnp.zeros((*batch, 3)),
        awake=jnp.ones(batch, bool),
    )


def placed() -> World:
    """The world as Gymnasium builds it, before its reset takes a step."""
    poses = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), stack(geometry.placement()))
    zeros, none = jnp.zeros(3), jnp.zeros(2)
    return at_rest(
        poses, Velocity(Vec2(zeros, zeros), zeros), JointImpulse(Vec2(none, none), none, none)
    )


def step(world: World, terrain: jax.Array, forces: Forces, solver: Solver) -> World:
    """The world one time step later; unbatched, to be mapped over lanes.

    Args:
        world: as it is, engines' impulses applied.
        terrain: heights of the ground's points, m, `[11]`.
        forces: gravity and wind.
        solver: how many iterations of what.
    """
    hull_contact = world.hull_contact | (world.hull_gap <= SKIN)
    touch = _find_contacts(world, terrain)
    edges_touched, ground_contact = contacts.update_flags(
        world.edges_touched, world.ground_contact, touch.bits, jnp.int32(-1)
    )

    solution = island.solve(
        island.Bodies(unstack(world.poses), unstack(world.velocities)),
        [
            island.LegContact(p // EDGES_NEAR, *parts)
            for p, parts in enumerate(unstack((touch.manifolds, touch.contacts, touch.impulses)))
        ],
        unstack((world.joints, world.limits)),
        forces,
        solver,
    )
    poses, velocities = stack(solution.bodies.poses), stack(solution.bodies.velocities)
    rest_time, asleep = _rest(world.rest_time, velocities, solution.settled)
    velocities = jax.tree.map(lambda v: jnp.where(asleep, 0.0, v), velocities)
    if solver.impacts:
        legs = continuous.Flight(
            start=jax.tree.map(lambda x: x[1:], world.poses),
            end=jax.tree.map(lambda x: x[1:], poses),
            velocity=jax.tree.map(lambda x: x[1:], velocities),
            edges_touched=edges_touched,
            ground_contact=ground_contact,
        )
        legs = jax.lax.map(lambda leg: continuous.solve(leg, terrain, ~asleep, solver), legs)
        poses, velocities = jax.tree.map(
            lambda all_bodies, leg: jnp.concatenate([all_bodies[:1], leg]),
            (poses, velocities),
            (legs.end, legs.velocity),
        )
        edges_touched, ground_contact = legs.edges_touched, legs.ground_contact
    hull_gap = _hull_gap(jax.tree.map(lambda x: x[0], poses), terrain)
    return World(
        poses=poses,
        velocities=velocities,
        joints=stack(solution.joints),
        limits=jnp.stack(solution.limits),
        features=touch.features,
        impulses=stack(solution.contacts),
        edges_touched=edges_touched,
        ground_contact=ground_contact,
        # Box2D would have stopped the hull at the ground within the step, and have said so.
        hull_contact=hull_contact | (~asleep & (hull_gap < LINEAR_SLOP)),
        hull_gap=hull_gap,
        rest_time=rest_time,
        awake=~asleep,
    )


class _Touch(NamedTuple):
    """The contacts of both legs: leaves `[4]`, `bits` `[2]`."""

    manifolds: collision.Manifold
    contacts: Contact
    features: tuple[jax.Array, jax.Array]
    impulses: ContactImpulse
    bits: jax.Array


def _find_contacts(world: World, terrain: jax.Array) -> _Touch:
    """Both legs against the edges near them, with the last step's impulses where these go on."""
    legs = unstack(world.poses)[1:]
    edges = [edges_near(terrain, leg.center.x) for leg in legs]
    last = unstack((world.features, world.impulses))
    pairs = stack(
        [
            (legs[k], edge, last[EDGES_NEAR * k : EDGES_NEAR * (k + 1)])
            for k in range(2)
            for edge in edges[k]
        ]
    )

    def find(pair: Any) -> collision.Faces:
        leg, edge, _ = pair
        return collision.find_faces(LEG, leg, edge)

    def touch(pair_and_faces: Any) -> Any:
        (leg, edge, last), faces = pair_and_faces
        manifold = collision.clip_faces(faces, leg)
        features = tuple(
            jnp.where(on, (edge.number << 8) | feature, NO_FEATURE)
            for on, feature in zip(
                (manifold.touching, manifold.both), manifold.features, strict=True
            )
        )
        impulses = stack_points([_carried(feature, last) for feature in features])
        bits = manifold.touching.astype(jnp.int32) << edge.number
        return manifold, contacts.prepare(manifold, leg), features, impulses, bits

    # Loops over the four pairs instead of four copies compile four times as fast, and under vmap
    # their slices are contiguous. Two, because XLA does in a second loop nothing of the first's
    # again, while within one it repeats what several results need.
    *parts, bits = jax.lax.map(touch, (pairs, jax.lax.map(find, pairs)))
    return _Touch(*parts, bits=bits.reshape(2, EDGES_NEAR).sum(-1))


def stack_points(points: list[tuple[jax.Array, jax.Array]]) -> ContactImpulse:
    """`(normal, tangent)` of two points as one impulse."""
    return ContactImpulse(*(tuple(pair) for pair in zip(*points, strict=True)))


def _carried(feature: jax.Array, last: list[Any]) -> tuple[jax.Array, jax.Array]:
    """The impulses `(normal, tangent)` of the last step's point of that feature, or zeros."""
    normal = tangent = jnp.zeros(())
    for features, impulse in last:
        for i in range(2):
            same = (features[i] == feature) & (feature != NO_FEATURE)
            normal = jnp.where(same, impulse.normal[i], normal)
            tangent = jnp.where(same, impulse.tangent[i], tangent)
    return normal, tangent


def _rest(
    rest_time: jax.Array, velocities: Velocity, settled: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """How long each body has hardly moved, `[3]`, and whether all now fall asleep."""
    linear = velocities.linear
    moving = (velocities.angular**2 > geometry.ANGULAR_SLEEP_TOLERANCE**2) | (
        linear.x**2 + linear.y**2 > geometry.LINEAR_SLEEP_TOLERANCE**2
    )
    # Single precision on purpose: its rounding decides whether 25 steps are half a second.
    rest_time = jnp.where(moving, 0.0, rest_time + jnp.float32(geometry.TIME_STEP))
    return rest_time, (rest_time.min() >= geometry.TIME_TO_SLEEP) & settled


def _hull_gap(hull: Pose, terrain: jax.Array) -> jax.Array:
    """The hull's distance from the ground without their skins, m."""
    edges = stack(edges_near(terrain, hull.center.x))
    return jax.lax.map(lambda edge: collision.separation(HULL, hull, edge), edges).min()
