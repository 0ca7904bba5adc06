"""Where a polygon touches an edge of the ground: b2EPCollider of Box2D 2.3.

The ground's edges have no neighbours ("ghost vertices"), which leaves the collider's first and last
parts: the axis of least separation, and clipping the face across it.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_envs.lunar_lander.geometry import SKIN, Polygon
from jaxrl_envs.lunar_lander.terrain import Edge
from jaxrl_envs.lunar_lander.vectors import (
    Pose,
    Rotation,
    Vec2,
    cross,
    dot,
    length,
    rotate,
    rotate_back,
    rotation,
    select,
)


class Manifold(NamedTuple):
    """The points in which a polygon touches an edge (b2Manifold).

    The reference face is the edge's, or the polygon's where `on_polygon`. Its normal and point are
    local to the body that has it; the clipped points are local to the other one. The ground's
    local coordinates are the world's.

    Attributes:
        on_polygon: whether the reference face is one of the polygon's.
        normal, plane_point: of the reference face.
        points: two clipped points; the first is valid where `touching`, the second where `both`.
        features: identities of the points, by which impulses are carried to the next step.
        touching, both: bool.
    """

    on_polygon: jax.Array
    normal: Vec2
    plane_point: Vec2
    points: tuple[Vec2, Vec2]
    features: tuple[jax.Array, jax.Array]
    touching: jax.Array
    both: jax.Array


class WorldPoints(NamedTuple):
    """A manifold at a pose.

    Attributes:
        normal: out of the ground.
        middles: of the two points, in the middle between the two bodies.
        clipped: of the two points, on the incident body.
        separations: of the two points, between the skins, m.
    """

    normal: Vec2
    middles: tuple[Vec2, Vec2]
    clipped: tuple[Vec2, Vec2]
    separations: tuple[jax.Array, jax.Array]


def at_pose(manifold: Manifold, pose: Pose) -> WorldPoints:
    """The manifold seen in the world (b2WorldManifold, b2PositionSolverManifold)."""
    q = rotation(pose.angle)

    def out(local: Vec2) -> Vec2:
        return rotate(q, local) + pose.center

    on_polygon = manifold.on_polygon
    normal = select(on_polygon, rotate(q, manifold.normal), manifold.normal)
    plane = select(on_polygon, out(manifold.plane_point), manifold.plane_point)
    clipped = tuple(select(on_polygon, p, out(p)) for p in manifold.points)
    distances = tuple(dot(p - plane, normal) for p in clipped)
    middles = tuple(p - (0.5 * d) * normal for p, d in zip(clipped, distances, strict=True))
    return WorldPoints(
        normal=select(on_polygon, -normal, normal),
        middles=middles,
        clipped=clipped,
        separations=tuple(d - SKIN for d in distances),
    )


class _Axes(NamedTuple):
    """A polygon in the world, and its separation from an edge along every candidate axis."""

    q: Rotation
    vertices: list[Vec2]
    normals: list[Vec2]
    edge_normal: Vec2  # towards the polygon's side
    edge_separation: jax.Array
    face_separations: list[jax.Array]


def is_below(point: Vec2, edge: Edge) -> jax.Array:
    """Whether a point lies below the line through an edge."""
    return cross(edge.end - edge.start, point - edge.start) <= 0


def _axes(shape: Polygon, pose: Pose, edge: Edge, below: jax.Array | bool) -> _Axes:
    q = rotation(pose.angle)
    vertices = [rotate(q, v) + pose.center for v in shape.vertices]
    normals = [rotate(q, n) for n in shape.normals]
    along = edge.end - edge.start
    along = along * (1 / length(along))
    down = Vec2(along.y, -along.x)
    normal = select(below, down, -down)
    edge_separation = _least([dot(normal, v - edge.start) for v in vertices])
    face_separations = [
        jnp.minimum(dot(n, edge.start - v), dot(n, edge.end - v))
        for n, v in zip(normals, vertices, strict=True)
    ]
    return _Axes(q, vertices, normals, normal, edge_separation, face_separations)


def separation(
    shape: Polygon, pose: Pose, edge: Edge, below: jax.Array | bool = False
) -> jax.Array:
    """The distance between polygon and edge without their skins, m; negative where they overlap.

    It is the greatest over the axes normal to a face of either, hence too small off corners.

    Args:
        shape: the polygon.
        pose: where it is.
        edge: the edge.
        below: whether the polygon belongs below the edge.
    """
    axes = _axes(shape, pose, edge, below)
    return jnp.maximum(axes.edge_separation, _greatest(axes.face_separations))


class Faces(NamedTuple):
    """The reference face of a polygon and an edge, and the incident face of the other one.

    Attributes:
        on_polygon: whether the reference face is the polygon's.
        normal: of the reference face, in the world.
        reference, incident: ends of the two faces, in the world.
        indices: of the reference face's ends.
        features: of the incident face's ends.
        local_normal, local_point: of the reference face, where it is the polygon's.
        overlap: whether no axis separates the two.
    """

    on_polygon: jax.Array
    normal: Vec2
    reference: tuple[Vec2, Vec2]
    incident: tuple[Vec2, Vec2]
    indices: tuple[jax.Array, jax.Array]
    features: tuple[jax.Array, jax.Array]
    local_normal: Vec2
    local_point: Vec2
    overlap: jax.Array


def find_faces(shape: Polygon, pose: Pose, edge: Edge) -> Faces:
    """The first half of b2CollideEdgeAndPolygon: along which axis the two are least apart.

    The polygon is pushed out to the side on which its centre is.
    """
    below = is_below(pose.center, edge)
    axes = _axes(shape, pose, edge, below)
    best_face = _greatest(axes.face_separations)
    # The edge's axis is preferred by a little, so that the choice does not flicker.
    on_polygon = best_face > 0.98 * axes.edge_separation + 0.001
    face = _index_of(axes.face_separations, best_face)
    next_face = (face + 1) % len(shape.vertices)
    facing = [dot(axes.edge_normal, n) for n in axes.normals]
    incident = _index_of(facing, _least(facing))
    next_incident = (incident + 1) % len(shape.vertices)
    near, far = select(below, edge.start, edge.end), select(below, edge.end, edge.start)
    return Faces(
        on_polygon=on_polygon,
        normal=select(on_polygon, _pick(axes.normals, face), axes.edge_normal),
        reference=(
            select(on_polygon, _pick(axes.vertices, face), near),
            select(on_polygon, _pick(axes.vertices, next_face), far),
        ),
        incident=(
            select(on_polygon, edge.start, _pick(axes.vertices, incident)),
            select(on_polygon, edge.end, _pick(axes.vertices, next_incident)),
        ),
        indices=(
            jnp.where(on_polygon, face, jnp.where(below, 0, 1)),
            jnp.where(on_polygon, next_face, jnp.where(below, 1, 0)),
        ),
        features=(
            _feature(0, jnp.where(on_polygon, face, incident), on_polygon),
            _feature(0, jnp.where(on_polygon, face, next_incident), on_polygon),
        ),
        local_normal=_pick(list(shape.normals), face),
        local_point=_pick(list(shape.vertices), face),
        overlap=(axes.edge_separation <= SKIN) & (best_face <= SKIN),
    )


def clip_faces(faces: Faces, pose: Pose) -> Manifold:
    """The second half: the incident face, clipped to the sides of the reference face."""
    on_polygon, normal, reference = faces.on_polygon, faces.normal, faces.reference
    side = Vec2(normal.y, -normal.x)
    points, features, kept = _clip(
        faces.incident,
        faces.features,
        side,
        dot(side, reference[0]),
        _feature(faces.indices[0], 0, on_polygon),
    )
    points, features, kept_again = _clip(
        points,
        features,
        -side,
        -dot(side, reference[1]),
        _feature(faces.indices[1], 0, on_polygon),
    )
    touches = faces.overlap & kept & kept_again
    near = [touches & (dot(normal, p - reference[0]) <= SKIN) for p in points]
    # Valid points come first.
    only_second = near[1] & ~near[0]
    points = (select(only_second, points[1], points[0]), points[1])
    features = (jnp.where(only_second, features[1], features[0]), features[1])
    q = rotation(pose.angle)
    return Manifold(
        on_polygon=on_polygon,
        normal=select(on_polygon, faces.local_normal, normal),
        plane_point=select(on_polygon, faces.local_point, reference[0]),
        points=tuple(select(on_polygon, p, rotate_back(q, p - pose.center)) for p in points),
        features=features,
        touching=near[0] | near[1],
        both=near[0] & near[1],
    )


def _clip(
    segment: tuple[Vec2, Vec2],
    features: tuple[jax.Array, jax.Array],
    normal: Vec2,
    offset: jax.Array,
    feature: jax.Array,
) -> tuple[tuple[Vec2, Vec2], tuple[jax.Array, jax.Array], jax.Array]:
    """The part of a segment behind a line, and whether any is left (b2ClipSegmentToLine).

    A new point on the line is of `feature` and of the segment's first one.
    """
    first, second = (dot(normal, p) - offset for p in segment)
    inside, crossing = (first <= 0) & (second <= 0), first * second < 0
    share = first / jnp.where(first == second, 1.0, first - second)
    cut = segment[0] + share * (segment[1] - segment[0])
    new = feature | (features[0] & _POLYGON_BITS) | _MADE_BY_CLIPPING
    # The point that stays comes first, the one on the line second.
    kept = select(first <= 0, (segment[0], features[0]), (segment[1], features[1]))
    other = select(inside, (segment[1], features[1]), (cut, new))
    return (kept[0], other[0]), (kept[1], other[1]), inside | crossing


_POLYGON_BITS, _MADE_BY_CLIPPING = 7 << 3, 1 << 6


def _feature(
    edge_index: jax.Array | int, polygon_index: jax.Array | int, on_polygon: jax.Array
) -> jax.Array:
    """A number that is the same as long as a point is made of the same features (b2ContactID)."""
    return edge_index | (polygon_index << 3) | (on_polygon.astype(jnp.int32) << 7)


def _least(values: list[jax.Array]) -> jax.Array:
    least = values[0]
    for value in values[1:]:
        least = jnp.minimum(least, value)
    return least


def _greatest(values: list[jax.Array]) -> jax.Array:
    return -_least([-value for value in values])


def _index_of(values: list[jax.Array], value: jax.Array) -> jax.Array:
    """The first place at which a list of scalars has that value."""
    index = jnp.int32(len(values) - 1)
    for i in reversed(range(len(values) - 1)):
        index = jnp.where(values[i] == value, i, index)
    return index


def _pick(vectors: list[Vec2], index: jax.Array) -> Vec2:
    """One of a few vectors, by selections: a gather would be slower."""
    picked = vectors[0]
    for i in range(1, len(vectors)):
        picked = select(index == i, vectors[i], picked)
    return picked
