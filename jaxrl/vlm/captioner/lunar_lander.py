"""Sees a lander, its legs, two flags and the ground, in Gymnasium's look.

Yellow flags and white ground on black; the lander is purple. The flags give the scale: they stand
120 of Gymnasium's pixels apart, and lengths here are in those, "units". Hull and legs are found by
laying Gymnasium's shapes over the purple and moving, turning and bending them until they fit; what
stands under the feet is read off the ground's edge.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrl.vlm.captioner import pixels
from jaxrl.vlm.captioner.lander_shape import Pose, View, fit_pose

YELLOW, PURPLE, RED = 204.0, 128.0, 108.0
FLAG_DISTANCE, CLOTH_RIGHT, CLOTH_UP, POLE_UP = 120.0, 25 / 3, 45.0, 50.0
PAD_DOWN = 1.0
"""How far the ground of the pad lies below the poles' feet."""
TOUCHING = 3.0
"""Greatest gap between a foot, or the hull, and the ground that is taken for a touch, units."""
ENOUGH = 0.5
"""Share of a lander that has to be in the picture for its tilt to be told."""
FINE = 0.5
"""Pixels a unit from which on pixels are put together: shapes are no better located by more."""
BACK = np.arange(3)
MAIN_EXHAUST = np.stack([0.0 * BACK, -14.0 - 9 * BACK], axis=-1)
LEFT_EXHAUST = np.stack([-21.0 - 8 * BACK, 14.0 + 0 * BACK], axis=-1)
"""Where exhaust is drawn, from the hull's origin."""


@dataclasses.dataclass(frozen=True)
class LunarLanderFacts:
    """What a picture of a lander shows. Lengths are shares of the distance between the flags.

    Attributes:
        x: of the lander's middle to the right of the pad's; inside the flags up to 0.5 either way.
            None, as what follows it, where no lander is in the picture.
        height: of the lander's middle above the ground below it.
        height_above_pad: the same above the pad.
        tilt: from upright, degrees, positive to the right; None where too little is in the picture.
        left_leg, right_leg: whether that leg touches the ground.
        hull: whether the hull itself touches the ground.
        main_engine: whether the main engine's exhaust is to be seen.
        pushed: to which side a side engine pushes, "left" or "right"; None where none fires.
    """

    x: float | None = None
    height: float | None = None
    height_above_pad: float | None = None
    tilt: float | None = None
    left_leg: bool = False
    right_leg: bool = False
    hull: bool = False
    main_engine: bool = False
    pushed: str | None = None


@dataclasses.dataclass(frozen=True)
class Flags:
    """Where the pad is: x of its middle and y of the poles' feet, and pixels a unit."""

    x: float
    foot: float
    unit: float


def see(frame: np.ndarray) -> LunarLanderFacts | None:
    """The lander of a picture, uint8 `[H, W, 3]`; None where this is no such picture."""
    sky = pixels.coarse(frame[: max(1, len(frame) // 4)])
    if np.median(sky) > 30 or np.median(frame[-1]) < 200:
        return None
    red, green, blue = pixels.channels(frame)
    white = pixels.cover(np.minimum(np.minimum(red, green), blue), 255.0)
    flags = find_flags(pixels.cover(np.minimum(red, green) - blue, YELLOW), white)
    if flags is None:
        return None
    across, up = pixels.centers(white.shape)
    x, y = (across[0] - flags.x) / flags.unit, (up[:, 0] - flags.foot) / flags.unit
    thin = max(1.5, 1.5 / flags.unit)
    pole = np.abs(np.abs(x) - FLAG_DISTANCE / 2) < thin
    hidden = (pole & ((y > -2) & (y < POLE_UP + 2))[:, None]) | (np.minimum(red, green) - blue > 4)
    purple = np.maximum(blue - green, 0.0) / PURPLE
    pose = _find_lander(purple, x, y, flags.unit, hidden)
    if pose is None:
        return LunarLanderFacts()
    glow = pixels.cover(red - np.maximum(green, blue), RED)
    return _facts(pose, x, _ground(white, purple, flags, x, ~pole), _engines(glow, flags, pose))


def find_flags(yellow: np.ndarray, white: np.ndarray) -> Flags | None:
    """Two flags of one size side by side; None where there are none."""
    whole = pixels.blob(yellow)
    if whole is None or whole.area < 1:
        return None
    columns = pixels.centers(yellow.shape)[0]
    left, right = (pixels.blob(yellow * side) for side in (columns < whole.x, columns > whole.x))
    if left is None or right is None:
        return None
    unit = (right.x - left.x) / FLAG_DISTANCE
    same_size = 0.6 < left.area / right.area < 1 / 0.6 and whole.area < 750 * unit**2 + 4
    if not (same_size and unit > 0 and abs(left.y - right.y) < 3 * unit + 1):
        return None
    foot = (left.y + right.y) / 2 - CLOTH_UP * unit
    poles = [_pole(white, cloth.x - CLOTH_RIGHT * unit, foot, unit) for cloth in (left, right)]
    return Flags(sum(poles) / 2, foot, unit)


def _pole(white: np.ndarray, near: float, foot: float, unit: float) -> float:
    """X of a flag's pole, which is white, below its cloth; where it is expected if it is not."""
    columns, rows = pixels.centers(white.shape)
    window = (np.abs(columns - near) < 4 * unit + 1.5) & (rows > foot + 15 * unit)
    found = pixels.blob(white * (window & (rows < foot + 38 * unit)))
    return near if found is None or found.area < 0.5 else found.x


def _find_lander(
    purple: np.ndarray, x: np.ndarray, y: np.ndarray, unit: float, hidden: np.ndarray
) -> Pose | None:
    """The lander's pose, of the window of the picture that is purple, in pixels not too fine."""
    window = pixels.bounds(purple, round(12 * unit) + 2, 0.1)
    if window is None:
        return None
    seen, covered = purple[window], hidden[window]
    x, y = x[window[1]], y[window[0]]
    edge = np.concatenate([purple[0], purple[:, 0], purple[:, -1]]).max() > 0.1
    by = max(1, int(unit / FINE))
    height, width = (size // by * by for size in seen.shape)
    view = View(
        purple=_together(seen[:height, :width], by).astype(np.float32),
        x=x[:width].reshape(-1, by).mean(1),
        y=y[:height].reshape(-1, by).mean(1),
        counts=_together(covered[:height, :width].astype(float), by) == 0,
        unit=unit / by,
        line=max(1.0, unit) / by,
    )
    return fit_pose(view, cut=bool(edge))


def _together(image: np.ndarray, by: int) -> np.ndarray:
    """Means of squares of `by` by `by` pixels."""
    height, width = image.shape
    return image.reshape(height // by, by, width // by, by).mean((1, 3))


def _ground(
    white: np.ndarray, purple: np.ndarray, flags: Flags, x: np.ndarray, clear: np.ndarray
) -> np.ndarray:
    """The ground's height above the poles' feet in every column, units, `[W]`.

    White from the lower edge up to the first pixel that is not. Where the lander stands on it, and
    under the poles, which are white too, it is as high as beside them.
    """
    rising = white[::-1]
    count = np.cumprod(rising > 0.95, axis=0).sum(0)
    above = np.minimum(count + np.arange(2)[:, None], len(white) - 1)
    part = np.take_along_axis(rising, above, axis=0)[0]
    heights = (count + part - flags.foot) / flags.unit
    clear = clear & (np.take_along_axis(purple[::-1], above, axis=0) < 0.05).all(0)
    if not clear.any():
        return heights
    return np.interp(x, x[clear], heights[clear])


def _engines(glow: np.ndarray, flags: Flags, pose: Pose) -> tuple[bool, str | None]:
    """Whether the main engine fires, and to which side another one pushes."""

    def fires(exhaust: np.ndarray) -> bool:
        x, y = np.moveaxis(pose.place(exhaust) * flags.unit, -1, 0)
        return bool(pixels.sample(glow, x + flags.x, y + flags.foot).max() > 0.25)

    # What leaves at the left pushes to the right.
    left, right = fires(LEFT_EXHAUST), fires(LEFT_EXHAUST * np.array([-1, 1]))
    return fires(MAIN_EXHAUST), "right" if left else "left" if right else None


def _facts(
    pose: Pose, x: np.ndarray, ground: np.ndarray, engines: tuple[bool, str | None]
) -> LunarLanderFacts:
    def gap(corners: np.ndarray) -> float:
        return float((corners[:, 1] - np.interp(corners[:, 0], x, ground)).min())

    hull, right, left = (gap(corners) for corners in pose.corners())
    return LunarLanderFacts(
        x=pose.x / FLAG_DISTANCE,
        height=float(pose.y - np.interp(pose.x, x, ground)) / FLAG_DISTANCE,
        height_above_pad=(pose.y + PAD_DOWN) / FLAG_DISTANCE,
        tilt=-float(np.rad2deg(pose.angle)) if pose.visible > ENOUGH else None,
        left_leg=left < TOUCHING,
        right_leg=right < TOUCHING,
        hull=hull < TOUCHING,
        main_engine=engines[0],
        pushed=engines[1],
    )
