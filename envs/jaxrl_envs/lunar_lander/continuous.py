"""Continuous collision of a leg with the ground: b2World::SolveTOI of Box2D 2.3.

A leg that would end a step in the ground is stopped where it meets it, pushed out, given the
velocity of a bounce without joints, and moves on for the rest of the step. So is one that is
already closer to the ground than Box2D wants two shapes to be.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_envs.lunar_lander import contacts
from jaxrl_envs.lunar_lander.collision import (
    Manifold,
    clip_faces,
    find_faces,
    is_below,
    separation,
)
from jaxrl_envs.lunar_lander.contacts import NO_IMPULSE
from jaxrl_envs.lunar_lander.geometry import LEG, LINEAR_SLOP, TIME_STEP, TOI_BAUMGARTE
from jaxrl_envs.lunar_lander.solver import Solver
from jaxrl_envs.lunar_lander.terrain import Edge, edges_near
from jaxrl_envs.lunar_lander.vectors import Pose, Velocity, select, stack, unstack

TARGET = LINEAR_SLOP  # distance at which two shapes with skins are said to meet, m
TOLERANCE = 0.25 * LINEAR_SLOP
BISECTIONS = 10
POSITION_ITERATIONS, VELOCITY_ITERATIONS = 5, 20  # Box2D's 20 and 180 come to the same


class Flight(NamedTuple):
    """How one leg moves in a step, and the flags of its contacts (see `world.World`)."""

    start: Pose
    end: Pose
    velocity: Velocity
    edges_touched: jax.Array
    ground_contact: jax.Array


def solve(flight: Flight, terrain: jax.Array, awake: jax.Array, solver: Solver) -> Flight:
    """The leg's flight with at most `solver.impacts` impacts."""

    def going_on(carry: Any) -> jax.Array:
        count, _, _, meeting = carry
        return meeting.happens & (count < solver.impacts)

    def impact(carry: Any) -> Any:
        count, flight, elapsed, meeting = carry
        flight, elapsed = _impact(flight, elapsed, terrain, meeting.at_once)
        return count + 1, flight, elapsed, _meeting(flight, terrain)

    # Under vmap the loop runs as long as any lane has an impact, most often not at all.
    first = _meeting(flight, terrain)
    first = first._replace(happens=first.happens & awake)
    start = (jnp.int32(0), flight, jnp.float32(0), first)
    return jax.lax.while_loop(going_on, impact, start)[1]


class _Meeting(NamedTuple):
    """Whether a leg meets the ground on its way, and whether it does so where it starts."""

    happens: jax.Array
    at_once: jax.Array


def _gap(flight: Flight, edges: Edge, below: jax.Array, time: Any) -> jax.Array:
    """The leg's distance from the ground at a share of the step; edges are stacked."""
    pose = jax.tree.map(lambda a, b: a + time * (b - a), flight.start, flight.end)
    gaps = jax.lax.map(lambda e: separation(LEG, pose, e[0], e[1]), (edges, below))
    return gaps.min()


def _ground(flight: Flight, terrain: jax.Array) -> tuple[Edge, jax.Array]:
    """The edges near the flight's end, and whether the leg came from below each; stacked."""
    edges = edges_near(terrain, flight.end.center.x)
    below = jnp.stack([is_below(flight.start.center, edge) for edge in edges])
    return stack(edges), below


def _meeting(flight: Flight, terrain: jax.Array) -> _Meeting:
    edges, below = _ground(flight, terrain)
    ends = jnp.array([0.0, 1.0])
    first, last = jax.lax.map(lambda time: _gap(flight, edges, below, time), ends)
    at_once = first < TARGET + TOLERANCE
    # Shapes that overlap to begin with are left to the position solver.
    return _Meeting((first > 0) & (at_once | (last < TARGET - TOLERANCE)), at_once)


def _impact(
    flight: Flight, elapsed: jax.Array, terrain: jax.Array, at_once: jax.Array
) -> tuple[Flight, jax.Array]:
    """The flight from the impact on, and the share of the step that had passed by then."""
    edges, below = _ground(flight, terrain)

    def halve(_: Any, bracket: Any) -> Any:
        low, high = bracket
        middle = 0.5 * (low + high)
        apart = _gap(flight, edges, below, middle) > TARGET
        return jnp.where(apart, middle, low), jnp.where(apart, high, middle)

    low, _ = jax.lax.fori_loop(0, BISECTIONS, halve, (jnp.float32(0), jnp.float32(1)))
    time = jnp.where(at_once, 0.0, low)
    pose = jax.tree.map(lambda a, b: a + time * (b - a), flight.start, flight.end)
    faces = jax.lax.map(lambda edge: find_faces(LEG, pose, edge), edges)
    manifolds = jax.lax.map(lambda f: clip_faces(f, pose), faces)
    pose = _push_out(unstack(manifolds), pose)
    velocity = _bounce(unstack(manifolds), pose, flight.velocity)

    left = (1 - elapsed) * (1 - time) * TIME_STEP
    bits = manifolds.touching.astype(jnp.int32) << edges.number
    tested = jnp.int32(1) << edges.number
    touched, ground_contact = contacts.update_flags(
        flight.edges_touched, flight.ground_contact, bits.sum(), tested.sum()
    )
    return (
        Flight(
            start=pose,
            end=Pose(pose.center + left * velocity.linear, pose.angle + left * velocity.angular),
            velocity=velocity,
            edges_touched=touched,
            ground_contact=ground_contact,
        ),
        elapsed + (1 - elapsed) * time,
    )


def _push_out(manifolds: list[Manifold], pose: Pose) -> Pose:
    """Position iterations of the leg alone."""

    def iterate(_: Any, carry: tuple[Pose, jax.Array]) -> tuple[Pose, jax.Array]:
        pose, settled = carry
        new, depth = pose, jnp.float32(0)
        for manifold in manifolds:
            new, deep = contacts.solve_position(manifold, new, TOI_BAUMGARTE)
            depth = jnp.minimum(depth, deep)
        return select(settled, pose, new), settled | (depth >= -1.5 * LINEAR_SLOP)

    return jax.lax.fori_loop(0, POSITION_ITERATIONS, iterate, (pose, jnp.bool_(False)))[0]


def _bounce(manifolds: list[Manifold], pose: Pose, velocity: Velocity) -> Velocity:
    """Velocity iterations of the leg alone, without warm start."""
    prepared = [contacts.prepare(manifold, pose) for manifold in manifolds]

    def iterate(_: Any, carry: Any) -> Any:
        impulses, velocity = list(carry[0]), carry[1]
        for i, contact in enumerate(prepared):
            impulses[i], velocity = contacts.solve_velocity(contact, impulses[i], velocity)
        return impulses, velocity

    none = jax.tree.map(jnp.float32, NO_IMPULSE)
    start = ([none] * len(prepared), velocity)
    return jax.lax.fori_loop(0, VELOCITY_ITERATIONS, iterate, start)[1]
