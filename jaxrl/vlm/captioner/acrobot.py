"""Sees an acrobot: two cyan links with yellow joints, and the black line that its end is to reach.

The upper joint is in the middle of the picture, and a link is one length, of which the picture's
shorter side shows 4.4.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrl.vlm.captioner import pixels

FULL = 204.0
LENGTHS_SHOWN = 4.4
ALONG = np.linspace(0.25, 0.9, 14)
"""Where along a link one looks whether it is there, in lengths."""


@dataclasses.dataclass(frozen=True)
class AcrobotFacts:
    """What a picture of an acrobot shows.

    Attributes:
        upper: angle of the upper link from hanging straight down, degrees, positive to the right
            of the picture, in ±180.
        lower: the same of the lower link.
    """

    upper: float
    lower: float

    @property
    def height(self) -> float:
        """Of the free end above the upper joint, in lengths of a link."""
        return -float(np.cos(np.deg2rad(self.upper)) + np.cos(np.deg2rad(self.lower)))

    @property
    def above_line(self) -> bool:
        """Whether the free end is above the line, which is one length above the upper joint."""
        return self.height > 1


def see(frame: np.ndarray) -> AcrobotFacts | None:
    """The links of a picture, uint8 `[H, W, 3]`; None where there are none."""
    if np.median(pixels.coarse(frame)) < 250:
        return None
    red, green, blue = pixels.channels(frame)
    link = pixels.cover(np.minimum(green, blue) - red, FULL)
    joint = pixels.cover(np.minimum(red, green) - blue, FULL)
    height, width = frame.shape[:2]
    length = min(height, width) / LENGTHS_SHOWN
    if not 0.15 < link.sum() / length**2 < 0.5 or joint.sum() < 0.015 * length**2:
        return None
    across, up = pixels.centers(link.shape)
    x, y = (across - width / 2) / length, (up - height / 2) / length
    distance = np.hypot(x, y)
    elbow = pixels.blob(joint * (np.abs(distance - 1) < 0.25))
    if elbow is None:
        return None
    at = np.array([elbow.x - width / 2, elbow.y - height / 2]) / length
    upper = float(np.arctan2(at[0], -at[1]))

    def along(angles: np.ndarray) -> np.ndarray:
        """How much of a link there is from the elbow in those directions."""
        places = np.stack([np.sin(angles), -np.cos(angles)])[..., None] * ALONG
        places = places + at[:, None, None]
        rows = pixels.sample(link, places[0] * length + width / 2, places[1] * length + height / 2)
        return rows.min(-1) + 0.01 * rows.mean(-1)

    lower = _lower_angle(along, upper, link, x - at[0], y - at[1])
    return AcrobotFacts(float(np.rad2deg(upper)), float(np.rad2deg(lower)))


def _lower_angle(along, upper: float, link: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """Where from the elbow the second link goes, radians from straight down.

    In every direction but back along the upper link; if it is nowhere else it lies over that.
    """
    back = upper + np.pi
    angles = back + np.deg2rad(np.arange(12.0, 349.0, 2.0))
    there = along(angles)
    if there.max() < 0.5:
        return (back + np.pi) % (2 * np.pi) - np.pi
    first = float(angles[there > there.max() - 0.3].mean())
    # Its middle line: the centre of what lies that way, and off the upper link.
    ahead = x * np.sin(first) - y * np.cos(first)
    aside = np.abs(x * np.cos(first) + y * np.sin(first))
    apart = np.abs(x * np.cos(back) + y * np.sin(back)) > 0.13
    ours = link * ((ahead > 0.2) & (ahead < 0.95) & (aside < 0.25))
    if np.cos(first - back) > np.cos(np.deg2rad(50)):
        ours = ours * apart
        return (first + np.pi) % (2 * np.pi) - np.pi
    area = ours.sum()
    return float(np.arctan2((ours * x).sum() / area, -(ours * y).sum() / area))
