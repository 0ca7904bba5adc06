"""What looking at pictures is made of: how much of each pixel a colour covers, and where that is.

A scene's colours are told apart by differences of channels that are zero in every other colour of
the scene. Such a difference is linear in how much of the pixel the shape covers, so edges that fall
between pixels are located to a fraction of one.

Pictures are uint8 `[H, W, 3]`. Covers are float64 `[H, W]`, 0 to 1. Coordinates are pixels, x to
the right and y *up*, the origin in the lower left corner; pixel centres are at halves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Channels(NamedTuple):
    """Red, green and blue, float64 `[H, W]` each."""

    red: np.ndarray
    green: np.ndarray
    blue: np.ndarray


class Blob(NamedTuple):
    """Where a cover is.

    Attributes:
        area: pixels, parts of pixels included.
        x, y: its centre.
        angle: of its longest axis, radians counter-clockwise from the right, in ±π/2.
    """

    area: float
    x: float
    y: float
    angle: float


def channels(frame: np.ndarray) -> Channels:
    """The picture as numbers that may be subtracted."""
    red, green, blue = np.moveaxis(np.asarray(frame).astype(np.float64), -1, 0)
    return Channels(red, green, blue)


def coarse(frame: np.ndarray, side: int = 100) -> np.ndarray:
    """Every n-th pixel, so that about `side` are left along each: for looks at the background."""
    rows, columns = (max(1, size // side) for size in frame.shape[:2])
    return frame[::rows, ::columns]


def cover(difference: np.ndarray, full: float) -> np.ndarray:
    """How much of each pixel is of a colour, from a difference that is `full` where it all is."""
    return np.clip(difference / full, 0.0, 1.0)


def centers(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres: x `[1, W]` and y `[H, 1]`."""
    height, width = shape[:2]
    return np.arange(width)[None, :] + 0.5, height - 0.5 - np.arange(height)[:, None]


def blob(amount: np.ndarray) -> Blob | None:
    """Area, centre and longest axis of a cover; None where it is empty."""
    area = float(amount.sum())
    if area <= 1e-9:
        return None
    across, up = centers(amount.shape)
    columns, rows = amount.sum(0), amount.sum(1)
    x, y = float(across[0] @ columns / area), float(up[:, 0] @ rows / area)
    dx, dy = across - x, up - y
    xx, yy = float(dx[0] ** 2 @ columns / area), float(dy[:, 0] ** 2 @ rows / area)
    xy = float(dy[:, 0] @ amount @ dx[0] / area)
    return Blob(area, x, y, 0.5 * float(np.arctan2(2 * xy, xx - yy)))


def sample(amount: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Cover at places, of the pixel that each falls into; 0 beyond the picture's edge."""
    height, width = amount.shape
    column, row = np.floor(x).astype(int), np.floor(height - y).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    found = amount[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    return np.where(inside, found, 0.0)


def edges(line: np.ndarray, level: float = 0.5) -> tuple[float, float] | None:
    """Where a row of covers `[W]` first rises above a level and last falls below it.

    Between pixel centres by straight lines. An edge beyond the picture is at the picture's own: 0
    or W. None where nothing is above the level.
    """
    above = np.flatnonzero(line > level)
    if above.size == 0:
        return None
    first, last = int(above[0]), int(above[-1])
    left, right = 0.0, float(line.size)
    if first > 0:
        left = first + 0.5 - (line[first] - level) / (line[first] - line[first - 1])
    if last < line.size - 1:
        right = last + 0.5 + (line[last] - level) / (line[last] - line[last + 1])
    return float(left), float(right)


def bounds(amount: np.ndarray, margin: int, least: float = 0.05) -> tuple[slice, slice] | None:
    """Rows and columns of the smallest window that holds a cover, and a margin around it."""
    rows, columns = np.flatnonzero((amount > least).any(1)), np.flatnonzero((amount > least).any(0))
    if rows.size == 0:
        return None
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + 1 + margin),
        slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + 1 + margin),
    )
