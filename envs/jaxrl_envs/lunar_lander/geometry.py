"""The lander's bodies and Box2D's constants, in metres, kilograms and seconds.

The lander is a hull (body 0) and two legs (bodies 1 and 2). Gymnasium makes the legs in the order
i = -1, i = +1 and sets leg i at x = -i·20/30 m from the hull: its `legs[0]`, "left" in the
observation, stands on the right of the picture.

Poses are those of centres of mass, as in Box2D's solver. The vertices of a `Polygon` are relative
to the centre of mass too.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from jaxrl_envs.lunar_lander.vectors import Pose, Vec2, rotate, rotation

FPS = 50
TIME_STEP = 1 / FPS  # s
SCALE = 30.0  # pixels of Gymnasium's picture per metre
WORLD_WIDTH = 600 / SCALE
WORLD_HEIGHT = 400 / SCALE
HELIPAD_Y = WORLD_HEIGHT / 4

LINEAR_SLOP = 0.005  # b2_linearSlop, m
ANGULAR_SLOP = 2 / 180 * math.pi  # b2_angularSlop, rad
SKIN = 2 * 2 * LINEAR_SLOP  # b2_polygonRadius of both shapes: they touch at this distance
MAX_LINEAR_CORRECTION = 0.2
MAX_ANGULAR_CORRECTION = 8 / 180 * math.pi
MAX_TRANSLATION = 2.0  # per step
MAX_ROTATION = 0.5 * math.pi
BAUMGARTE = 0.2
TOI_BAUMGARTE = 0.75
LINEAR_SLEEP_TOLERANCE = 0.01  # m/s
ANGULAR_SLEEP_TOLERANCE = 2 / 180 * math.pi  # rad/s
TIME_TO_SLEEP = 0.5  # s

# A leg's friction is pybox2d's default of 0.2, the ground's 0.1; Box2D takes the geometric mean.
FRICTION = math.sqrt(0.2 * 0.1)


class Polygon(NamedTuple):
    """A convex body of uniform density.

    Attributes:
        vertices: counter-clockwise, relative to the centre of mass.
        normals: outward, of the edge from each vertex to the next.
        centroid: the centre of mass relative to the body's origin.
        inverse_mass: 1/kg.
        inverse_inertia: about the centre of mass, 1/(kg m²).
    """

    vertices: tuple[Vec2, ...]
    normals: tuple[Vec2, ...]
    centroid: Vec2
    inverse_mass: float
    inverse_inertia: float

    @property
    def mass(self) -> float:
        """In kg."""
        return 1 / self.inverse_mass


def polygon(corners: list[tuple[float, float]], density: float) -> Polygon:
    """A polygon of corners given in pixels, counter-clockwise (b2PolygonShape::ComputeMass)."""
    here = np.array(corners, np.float64) / SCALE
    there = np.roll(here, -1, axis=0)
    twice_area = here[:, 0] * there[:, 1] - here[:, 1] * there[:, 0]
    mass = density * twice_area.sum() / 2
    centroid = ((here + there) * twice_area[:, None]).sum(0) / (3 * twice_area.sum())
    squares = (here**2 + here * there + there**2).sum(1)
    inertia = density * (twice_area * squares).sum() / 12 - mass * (centroid**2).sum()
    edges = there - here
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1)
    normals /= np.linalg.norm(edges, axis=1, keepdims=True)
    return Polygon(
        vertices=_vectors(here - centroid),
        normals=_vectors(normals),
        centroid=Vec2(*map(float, centroid)),
        inverse_mass=float(1 / mass),
        inverse_inertia=float(1 / inertia),
    )


def _vectors(points: np.ndarray) -> tuple[Vec2, ...]:
    return tuple(Vec2(float(x), float(y)) for x, y in points)


HULL = polygon([(17, -10), (17, 0), (14, 17), (-14, 17), (-17, 0), (-17, -10)], density=5.0)
LEG = polygon([(-2, -8), (2, -8), (2, 8), (-2, 8)], density=1.0)

LEG_SIDES = (-1, 1)
"""Gymnasium's i of the first and the second leg."""
LEG_AWAY, LEG_DOWN = 20 / SCALE, 18 / SCALE


def hull_origin(pose: Pose) -> Vec2:
    """Where Gymnasium says the hull is: its body's origin, not its centre of mass."""
    return pose.center - rotate(rotation(pose.angle), HULL.centroid)


def placement() -> list[Pose]:
    """Hull and legs as Gymnasium creates them, before the joints pull them together."""
    middle = Vec2(WORLD_WIDTH / 2, WORLD_HEIGHT)
    legs = [Pose(middle + Vec2(-i * LEG_AWAY, 0.0), 0.05 * i) for i in LEG_SIDES]
    return [Pose(middle + HULL.centroid, 0.0), *legs]
