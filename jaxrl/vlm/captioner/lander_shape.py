"""The lander's shape in Gymnasium's look, and where in a picture it fits best.

Lengths are in Gymnasium's pixels, "units". A pose is five numbers: where the hull's origin is, how
far it is turned, and how far each leg is bent outward. Poses are drawn several at a time, `[P]`.
"""

from __future__ import annotations

import dataclasses

import numpy as np

HULL = np.array([(17, -10), (17, 0), (14, 17), (-14, 17), (-17, 0), (-17, -10)], np.float64)
LEG = np.array([(-2, -8), (2, -8), (2, 8), (-2, 8)], np.float64)
LEG_AWAY, LEG_DOWN = 20.0, 18.0
BODIES = (slice(0, 6), slice(6, 10), slice(10, 14))
"""Corners of hull, right leg and left leg, in the order in which they are drawn."""
RELAXED = 0.345
"""How far a leg is bent in the air, radians."""
LEAST_BEND, GREATEST_BEND = 0.2, 1.1
LINE = (128 - 77) / 128
"""Purple, as blue less green, of an outline, where that of a body is 1."""
WHOLE_AREA = 1080.0
"""Of hull and legs as they are drawn."""
TURNS = np.deg2rad([-25, 25, -60, 60, -100, 100, -140, 140, 180])
"""Turns from the first guess that are tried where it does not fit."""
GOOD_FIT = 0.06
"""Squared misfit, as a share of the purple's own squares, of a pose that needs no other try."""
NUDGES = np.diag([0.1, 0.1, 0.004, 0.01, 0.01])
"""What slopes are taken over: units, units, radians."""
PULL = np.array([0, 0, 0, 0.3, 0.3])
"""Holds legs near where they hang, lest they are bent to fit what cannot be seen."""


@dataclasses.dataclass(frozen=True)
class Pose:
    """Where hull and legs are.

    Attributes:
        x, y: of the hull's origin.
        angle: radians counter-clockwise from upright, in ±π.
        bends: of the right and the left leg, radians outward.
        visible: share of the lander that is in the picture.
    """

    x: float
    y: float
    angle: float
    bends: tuple[float, float]
    visible: float = 1.0

    def corners(self) -> list[np.ndarray]:
        """Corners `[V, 2]` of hull, right leg and left leg."""
        corners = outlines(np.array([[self.x, self.y, self.angle, *self.bends]]))[0]
        return [corners[body] for body in BODIES]

    def place(self, points: np.ndarray) -> np.ndarray:
        """Where points of the hull, `[..., 2]` from its origin, are in the picture."""
        return turned(points, self.angle) + np.array([self.x, self.y])


@dataclasses.dataclass(frozen=True)
class View:
    """The part of a picture that a lander is in.

    Attributes:
        purple: blue less green, as a share of a body's, `[H, W]`.
        x, y: pixel centres in units, `[W]` and `[H]`.
        counts: where nothing else is drawn over it, bool `[H, W]`.
        unit: pixels a unit.
        line: width of outlines, pixels.
    """

    purple: np.ndarray
    x: np.ndarray
    y: np.ndarray
    counts: np.ndarray
    unit: float
    line: float


def turned(points: np.ndarray, angle: np.ndarray | float) -> np.ndarray:
    """Points `[..., V, 2]`, turned counter-clockwise about the origin by angles `[...]`."""
    cos, sin = np.asarray(np.cos(angle))[..., None], np.asarray(np.sin(angle))[..., None]
    x, y = points[..., 0], points[..., 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


def outlines(poses: np.ndarray) -> np.ndarray:
    """Corners `[P, 14, 2]` of poses `[P, 5]`."""
    angle = poses[:, 2]
    parts = [turned(np.broadcast_to(HULL, (len(poses), 6, 2)), angle)]
    for side, bend in ((1, poses[:, 3]), (-1, poses[:, 4])):
        leg = LEG + np.array([side * LEG_AWAY, -LEG_DOWN])
        parts.append(turned(np.broadcast_to(leg, (len(poses), 4, 2)), angle + side * bend))
    return np.concatenate(parts, axis=1) + poses[:, None, :2]


def drawn(poses: np.ndarray, view: View) -> np.ndarray:
    """Purple of pictures of those poses, `[P, H, W]`."""
    corners = outlines(poses)
    image = np.zeros((len(poses), view.y.size, view.x.size), np.float32)
    for body in BODIES:
        here = corners[:, body]
        along = np.roll(here, -1, axis=1) - here
        normal = np.stack([along[..., 1], -along[..., 0]], axis=-1)
        normal = normal / np.linalg.norm(normal, axis=-1, keepdims=True) * view.unit
        offset = (normal * here).sum(-1)
        across = (normal[..., :1] * view.x - offset[..., None]).astype(np.float32)
        up = (normal[..., 1:] * view.y).astype(np.float32)
        distance = (across[..., None, :] + up[..., :, None]).max(1)
        image += np.clip(0.5 + 0.5 * view.unit - distance, 0, 1) * (1 - image)
        edge = np.clip(0.5 + view.line / 2 - np.abs(distance), 0, min(1.0, view.line))
        image += edge * (LINE - image)
    return image


def fit_pose(view: View, *, cut: bool) -> Pose | None:
    """The pose whose picture is nearest to the purple that is there; None where there is none.

    Args:
        view: where to look.
        cut: whether the picture's edge cuts the lander off. It is then first taken to be upright,
            for what is left may fit many poses.
    """
    if view.purple.sum() < 1.0:
        return None
    first = _guess(view)
    starts = [first, *(first + np.array([0, 0, turn, 0, 0]) for turn in TURNS)]
    if cut:
        starts.insert(0, first * np.array([1, 1, 0, 1, 1]))
    enough = GOOD_FIT * float((view.counts * view.purple**2).sum())
    best, least = first, np.inf
    for start in starts:
        found, misfit = _descend(start, view)
        if misfit < least:
            best, least = found, misfit
        if least < enough:
            break
    x, y, angle, right, left = map(float, best)
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    visible = float((view.purple > 0.2).sum()) / (WHOLE_AREA * view.unit**2)
    return Pose(x, y, angle, (right, left), min(visible, 1.0))


def _guess(view: View) -> np.ndarray:
    """A pose to start from: the third moment points from the hull to the legs, which stick out."""
    seen, x, y = view.purple, view.x[None, :], view.y[:, None]
    area = seen.sum()
    middle_x, middle_y = (seen * x).sum() / area, (seen * y).sum() / area
    dx, dy = x - middle_x, y - middle_y
    far = seen * (dx**2 + dy**2)
    angle = float(np.arctan2((far * dx).sum(), -(far * dy).sum()))
    down = turned(np.array([[0.0, -1.5]]), angle)[0]
    return np.array([middle_x - down[0], middle_y - down[1], angle, RELAXED, RELAXED])


def _descend(pose: np.ndarray, view: View) -> tuple[np.ndarray, float]:
    """Levenberg's and Marquardt's descent to the nearest pose; the pose and its squared misfit."""
    relaxed = np.array([0, 0, 0, RELAXED, RELAXED])

    def misfits(poses: np.ndarray) -> np.ndarray:
        return (drawn(poses, view) - view.purple)[:, view.counts].astype(np.float64)

    def cost(rest: np.ndarray, pose: np.ndarray) -> float:
        return float((rest**2).sum() + (PULL * (pose - relaxed) ** 2).sum())

    damping, rest = 1e-2, misfits(pose[None])[0]
    for _ in range(15):
        slopes = (misfits(pose + NUDGES) - rest) / np.diag(NUDGES)[:, None]
        normal = slopes @ slopes.T + np.diag(PULL)
        gradient = slopes @ rest + PULL * (pose - relaxed)
        better = False
        while not better and damping < 1e4:
            damped = normal + damping * np.diag(np.diag(normal) + 1e-9)
            change = -np.linalg.solve(damped, gradient)
            trial = pose + change
            trial[3:] = np.clip(trial[3:], LEAST_BEND, GREATEST_BEND)
            after = misfits(trial[None])[0]
            better = cost(after, trial) < cost(rest, pose)
            damping *= 0.3 if better else 8
        if not better:
            break
        pose, rest = trial, after
        if np.abs(change[:2]).max() < 0.05 and abs(change[2]) < 2e-3:
            break
    return pose, float((rest**2).sum())
