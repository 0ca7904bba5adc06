"""Sees a pendulum: a red rod on an axle in the middle of the picture."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrl.vlm.captioner import pixels

ROD_FULL, ROD_RATIO = 127.0, 1.0
METERS_SHOWN = 4.4
"""Rods that fit along the picture's shorter side."""


@dataclasses.dataclass(frozen=True)
class PendulumFacts:
    """What a picture of a pendulum shows.

    Attributes:
        tilt: of the rod from upright, degrees, positive to the right, in ±180.
    """

    tilt: float


def see(frame: np.ndarray) -> PendulumFacts | None:
    """The rod of a picture, uint8 `[H, W, 3]`; None where there is none."""
    if np.median(pixels.coarse(frame)) < 250:
        return None
    red, green, blue = pixels.channels(frame)
    rod = pixels.cover(red - np.maximum(green, blue), ROD_FULL)
    height, width = frame.shape[:2]
    length = min(height, width) / METERS_SHOWN
    found = pixels.blob(rod)
    if found is None or not 0.15 < found.area / length**2 < 0.3:
        return None
    if np.abs(green - blue)[rod > 0.2].mean() > 12:
        return None  # some other red
    x, y = found.x - width / 2, found.y - height / 2
    if not 0.3 < np.hypot(x, y) / length < 0.7:
        return None
    return PendulumFacts(float(np.rad2deg(np.arctan2(x, y))))
