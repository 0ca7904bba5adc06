"""Aids for the eye: larger frames, a grid, a closer look, marks. All on the host, with numpy.

Frames are drawn by the environment at any size, so that a larger one shows more and is not the
same pixels blown up. Marks and grid are laid over the frame; nothing is hidden by them but what
lies under their lines and letters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxrl.agents.settings import AgentConfig
from jaxrl.agents.worlds import Mark, World
from jaxrl.errors import missing_extra

ZOOM = 2
"""How many times larger an up-scaled frame is, and how closely a crop looks."""

SMALLEST_LETTERS = 10
"""Pixels; in larger frames they grow with them."""

GRID_COLOR, MARK_COLOR = (128, 128, 128), (255, 0, 160)


def zoom_of(config: AgentConfig) -> int:
    """How many times the size of a frame has to be drawn."""
    return ZOOM if {"upscale", "crop"} & set(config.aids) else 1


def pictures(
    frame: np.ndarray, quantities: Mapping[str, float], world: World, config: AgentConfig
) -> list[tuple[str, np.ndarray]]:
    """The pictures of one moment and what each is.

    Args:
        frame: uint8 `[zoom H, zoom W, 3]` with `zoom_of(config)`.
        quantities: of that moment.
        world: knows where things are in a frame.
        config: which aids.
    """
    large = zoom_of(config) > 1
    whole = shrink(frame, ZOOM) if large and "upscale" not in config.aids else frame
    shown = [("the frame", _annotated(whole, quantities, world, config))]
    if "crop" in config.aids and world.objects is not None:
        height, width = frame.shape[:2]
        center = world.objects(quantities, height, width)[0]
        closer, left, top = crop(frame, center, height // ZOOM, width // ZOOM)
        what = f"the middle of it, around the {center.label}, {ZOOM} times as large"
        if "upscale" in config.aids:
            what = f"a part of it, around the {center.label}"
        if "marks" in config.aids:
            marks = [
                mark._replace(x=mark.x - left, y=mark.y - top)
                for mark in world.objects(quantities, height, width)
            ]
            closer = draw_marks(closer, [mark for mark in marks if _inside(mark, closer)])
        shown.append((what, closer))
    return shown


def _annotated(
    frame: np.ndarray, quantities: Mapping[str, float], world: World, config: AgentConfig
) -> np.ndarray:
    height, width = frame.shape[:2]
    if "grid" in config.aids:
        cells = None if world.cells is None else world.cells(quantities)
        frame = draw_grid(frame, cells)
    if "marks" in config.aids and world.objects is not None:
        frame = draw_marks(frame, world.objects(quantities, height, width))
    return frame


def shrink(frame: np.ndarray, by: int) -> np.ndarray:
    """Means over `by` by `by` pixels."""
    height, width = frame.shape[0] // by, frame.shape[1] // by
    blocks = frame[: height * by, : width * by].reshape(height, by, width, by, 3)
    return np.round(blocks.mean((1, 3))).astype(np.uint8)


def crop(frame: np.ndarray, center: Mark, height: int, width: int) -> tuple[np.ndarray, int, int]:
    """A window around a mark, moved inside where it would stick out; with its left and top."""
    left = int(np.clip(round(center.x) - width // 2, 0, frame.shape[1] - width))
    top = int(np.clip(round(center.y) - height // 2, 0, frame.shape[0] - height))
    return frame[top : top + height, left : left + width], left, top


def _inside(mark: Mark, frame: np.ndarray) -> bool:
    return 0 <= mark.x < frame.shape[1] and 0 <= mark.y < frame.shape[0]


def draw_grid(frame: np.ndarray, cells: int | None) -> np.ndarray:
    """The frame with a labelled grid.

    On a board of `cells` by `cells` it runs between them, with the numbers of rows and columns
    from 0; where they are too narrow for that, of every second or third. Elsewhere it has 8
    columns A to H and as many rows from 1 as are about as high.
    """
    height, width = frame.shape[:2]
    if cells:
        side = min(height, width)
        left, top = (width - side) / 2, (height - side) / 2
        columns = rows = [str(i) for i in range(cells)]
        across = down = side / cells
    else:
        left = top = 0.0
        columns = list("ABCDEFGH")
        rows = [str(i + 1) for i in range(max(1, round(height / (width / 8))))]
        across, down = width / len(columns), height / len(rows)
    image, pen, size = _pen(frame)
    bottom, right = top + down * len(rows) - 1, left + across * len(columns) - 1
    for i in range(1, len(columns)):
        x = left + i * across
        pen.line([(x, top), (x, bottom)], fill=GRID_COLOR)
    for i in range(1, len(rows)):
        y = top + i * down
        pen.line([(left, y), (right, y)], fill=GRID_COLOR)
    widest = pen.textlength(max(columns + rows, key=len))
    # Beside the board where there is room: on it, the first row's label and column's would clash.
    margin = left - widest - 2 if left > widest + 2 else left + 1
    for i, label in _sparse(columns, (widest + 3) / across):
        middle = left + (i + 0.5) * across
        pen.text((middle - pen.textlength(label) / 2, top), label, fill=GRID_COLOR)
    for i, label in _sparse(rows, size / down):
        pen.text((margin, top + (i + 0.5) * down - size / 2), label, fill=GRID_COLOR)
    return np.asarray(image)


def _sparse(labels: list[str], share: float) -> list[tuple[int, str]]:
    """As many of the labels, each `share` of a cell large, as do not touch; with their cells."""
    return list(enumerate(labels))[:: max(1, math.ceil(share))]


def draw_marks(frame: np.ndarray, marks: list[Mark]) -> np.ndarray:
    """The frame with a ring around each mark and its label beside it, where no other one is."""
    image, pen, size = _pen(frame)
    radius = max(4, min(frame.shape[:2]) // 40)
    taken: list[tuple[float, float, float]] = []  # left, right and top of the labels so far
    for mark in marks:
        box = (mark.x - radius, mark.y - radius, mark.x + radius, mark.y + radius)
        pen.ellipse(box, outline=MARK_COLOR)
        width = pen.textlength(mark.label)
        x = min(mark.x + radius + 2, frame.shape[1] - width - 1)
        y = float(np.clip(mark.y - radius - size, 0, max(0, frame.shape[0] - size - 2)))
        for left, right, top in sorted(taken, key=lambda label: label[2]):
            if left < x + width and x < right and abs(top - y) < size:
                y = top + size
        taken.append((x, x + width, y))
        pen.text((x, y), mark.label, fill=MARK_COLOR)
    return np.asarray(image)


def _pen(frame: np.ndarray) -> tuple[Any, Any, int]:
    """A copy of the frame to draw on, what to draw with, and the height of its letters."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise missing_extra("pillow", "vlm", "drawing on frames") from error
    image = Image.fromarray(frame)
    size = max(SMALLEST_LETTERS, frame.shape[0] // 20)
    pen = ImageDraw.Draw(image)
    pen.font = ImageFont.load_default(size)
    return image, pen, size
