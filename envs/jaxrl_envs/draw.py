"""Drawing in JAX: shapes with smooth edges, on the device, a batch at a time.

A shape is its signed distance field over the canvas, in pixels, negative inside; how much of a
pixel it covers follows from the distance of the pixel's centre to the edge. Every shape is a few
arithmetic operations over the whole canvas and no gather, so that `vmap` over frames and `jit` make
one fused loop of a scene. Where most of a picture is the same from frame to frame, or is simple,
`redraw` draws the whole scene in a window of it alone.

Canvas coordinates are pixels, x to the right and y *up*, the origin in the lower left corner.
Colours are `(red, green, blue)` of 0 to 255. An image is float32 `[H, W, 3]` until `to_uint8`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Color = Any
"""`(red, green, blue)`, 0 to 255: a tuple, or an array `[3]`."""

MIN_SIZE = 16
"""Smallest height and width of a picture, in pixels."""


class Canvas(NamedTuple):
    """Pixel centres: `x` is `[1, W]` and `y` is `[H, 1]`, row 0 at the top of the picture.

    A picture's own canvas is of numpy's arrays: what is computed from them alone is computed
    when the program is compiled, and not for every pixel of every frame.
    """

    x: Any
    y: Any


def canvas(height: int, width: int) -> Canvas:
    """A canvas of that many pixels; raises ValueError below `MIN_SIZE`, and for no whole ones."""
    if not all(isinstance(side, int | np.integer) and side >= MIN_SIZE for side in (height, width)):
        raise ValueError(
            f"height={height!r}, width={width!r}: a picture needs at least {MIN_SIZE} pixels a "
            "side, and no parts of one."
        )
    x = np.arange(width, dtype=np.float32)[None, :] + np.float32(0.5)
    y = np.float32(height) - (np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5))
    return Canvas(x, y)


def background(at: Canvas, color: Color) -> jax.Array:
    """An image of one colour, `[H, W, 3]`."""
    shape = (at.y.shape[0], at.x.shape[1], 3)
    return jnp.broadcast_to(jnp.asarray(color, jnp.float32), shape)


def polygon(at: Canvas, vertices: jax.Array) -> jax.Array:
    """Signed distance to a convex polygon, vertices `[V, 2]` counter-clockwise. `[H, W]`.

    The largest of the distances to its edges' lines: exact along edges, a little too small off
    the corners, where anti-aliasing cannot tell.
    """
    edges = jnp.roll(vertices, -1, axis=0) - vertices
    lengths = jnp.sqrt((edges**2).sum(-1)) + 1e-9
    normals = jnp.stack([edges[:, 1], -edges[:, 0]], axis=-1) / lengths[:, None]
    offsets = (normals * vertices).sum(-1)
    distance = -jnp.inf
    for i in range(vertices.shape[0]):  # few edges: an unrolled maximum fuses into one loop
        distance = jnp.maximum(distance, normals[i, 0] * at.x + normals[i, 1] * at.y - offsets[i])
    return jnp.asarray(distance)


def rectangle(at: Canvas, left: Any, bottom: Any, right: Any, top: Any) -> jax.Array:
    """Signed distance to an upright rectangle. `[H, W]`."""
    across = jnp.maximum(left - at.x, at.x - right)
    up = jnp.maximum(bottom - at.y, at.y - top)
    return jnp.maximum(across, up)


def disc(at: Canvas, center: Any, radius: Any) -> jax.Array:
    """Signed distance to a disc; `center` is `[2]`. `[H, W]`."""
    return jnp.sqrt((at.x - center[0]) ** 2 + (at.y - center[1]) ** 2) - radius


def capsule(at: Canvas, start: Any, end: Any, radius: Any) -> jax.Array:
    """Signed distance to a thick line with round ends; `start` and `end` are `[2]`. `[H, W]`."""
    start, end = jnp.asarray(start, jnp.float32), jnp.asarray(end, jnp.float32)
    along = end - start
    x, y = at.x - start[0], at.y - start[1]
    share = (x * along[0] + y * along[1]) / jnp.maximum((along**2).sum(), 1e-9)
    share = jnp.clip(share, 0.0, 1.0)
    return jnp.sqrt((x - share * along[0]) ** 2 + (y - share * along[1]) ** 2) - radius


def below(at: Canvas, heights: jax.Array, spacing: Any) -> jax.Array:
    """Signed distance to what lies below a line of straight pieces. `[H, W]`.

    Args:
        at: the canvas.
        heights: of the line's points, `[P]`; the first is at x = 0, the ends go on straight.
        spacing: pixels from point to point.
    """
    place = at.x[0] / spacing
    piece = jnp.clip(jnp.floor(place), 0, heights.shape[0] - 2)
    # Products with a mask, not an index, for the module has no gather; and not sums, which XLA
    # would do again for every pixel of a column.
    here = (piece[:, None] == jnp.arange(heights.shape[0] - 1)).astype(jnp.float32)
    start = jnp.matmul(here, heights[:-1], precision="highest")
    rise = jnp.matmul(here, heights[1:] - heights[:-1], precision="highest")
    cosine = 1 / jnp.sqrt(1 + (rise / spacing) ** 2)  # a division a column, none a pixel
    return (at.y - (start + (place - piece) * rise)) * cosine


def arc(at: Canvas, center: Any, radius: Any, width: Any, start: float, end: float) -> jax.Array:
    """Signed distance to a piece of a ring, `width` thick, from one angle to another. `[H, W]`.

    Angles are in radians counter-clockwise from the right, `start < end < start + 2π`.
    """
    x, y = at.x - center[0], at.y - center[1]
    ring = jnp.abs(jnp.sqrt(x**2 + y**2) - radius) - width / 2
    half = (end - start) / 2
    middle = jnp.array([jnp.cos(start + half), jnp.sin(start + half)])
    along, across = x * middle[0] + y * middle[1], jnp.abs(y * middle[0] - x * middle[1])
    # The sector about the middle, its distance taken to the straight line that bounds it.
    sector = across * jnp.cos(half) - along * jnp.sin(half)
    return jnp.maximum(ring, sector)


def grow(distance: jax.Array, by: Any) -> jax.Array:
    """The shape made larger by that many pixels on every side."""
    return distance - by


def coverage(distance: jax.Array) -> jax.Array:
    """How much of each pixel lies inside, 0 to 1, from signed distances in pixels.

    Exact where an upright edge crosses the pixel alone; a shape thinner than a pixel comes out
    too dark.
    """
    return jnp.clip(0.5 - distance, 0.0, 1.0)


def outline(distance: jax.Array, width: Any = 1.0) -> jax.Array:
    """How much of each pixel a line of that width along the edge covers, 0 to 1.

    Also right for lines thinner than a pixel, which come out paler, not wider.
    """
    return jnp.minimum(coverage(jnp.abs(distance) - width / 2), width)


def paint(image: jax.Array, cover: jax.Array, color: Color, alpha: Any = 1.0) -> jax.Array:
    """The image with a colour laid over it where `cover` `[H, W]` says. `[H, W, 3]`."""
    return image + (alpha * cover)[..., None] * (jnp.asarray(color, jnp.float32) - image)


class Board(NamedTuple):
    """Where square cells lie in a picture: as large as fit, in the middle.

    Attributes:
        left: x of the left edge, pixels.
        top: y of the upper edge, pixels.
        cell: side of a cell, pixels.
        rows, columns: how many cells there are.
    """

    left: float
    top: float
    cell: float
    rows: int
    columns: int


def board(height: int, width: int, rows: int, columns: int) -> Board:
    """The board of `rows` by `columns` cells in a picture of that size."""
    cell = min(height / rows, width / columns)
    return Board((width - cell * columns) / 2, (height + cell * rows) / 2, cell, rows, columns)


def paint_cells(
    image: jax.Array, at: Canvas, place: Board, colors: jax.Array, gap: float = 0.0
) -> jax.Array:
    """The image with the cells of a board laid over it. `[H, W, 3]`.

    Each pixel is mixed of the cells in the exact shares in which it overlaps them: two small
    products of matrices, no gather.

    Args:
        image: `[H, W, 3]`.
        at: its canvas.
        place: where the board lies.
        colors: `[rows, columns, 3]`; with a gap `[2 rows + 1, 2 columns + 1, 3]`, in which the
            odd ones are the cells and the even ones what lies between them.
        gap: what lies between two cells, as a share of a cell's side.
    """
    across = _overlap(at.x[0] - place.left, place.columns, place.cell, gap)
    down = _overlap(place.top - at.y[:, 0], place.rows, place.cell, gap)
    inside = down.sum(1)[:, None] * across.sum(1)[None, :]
    # In full precision: the short floats of an accelerator would be off by a whole colour.
    cells = jnp.einsum("hr,wc,rck->hwk", down, across, colors, precision="highest")
    return image * (1 - inside[..., None]) + cells


def _overlap(centers: np.ndarray, count: int, cell: float, gap: float) -> np.ndarray:
    """How much of each pixel `[P]` lies in each cell along one axis, `[P, cells]`."""
    ends = np.arange(count + 1) * cell
    if gap:
        half = gap * cell / 2
        # The gaps at the rim are half as wide.
        ends = np.clip(np.stack([ends - half, ends + half], 1).ravel(), 0.0, count * cell)
    low = np.maximum(ends[:-1], centers[:, None] - 0.5)
    high = np.minimum(ends[1:], centers[:, None] + 0.5)
    return np.maximum(high - low, 0.0).astype(np.float32)


def rotate(points: jax.Array, angle: Any) -> jax.Array:
    """Points `[..., 2]` turned counter-clockwise about the origin; `angle` in radians."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    x, y = points[..., 0], points[..., 1]
    return jnp.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


def box(left: float, bottom: float, right: float, top: float) -> jax.Array:
    """The corners of a rectangle, counter-clockwise, `[4, 2]`; to be rotated and moved."""
    return jnp.array([(left, bottom), (right, bottom), (right, top), (left, top)], jnp.float32)


def to_uint8(image: jax.Array) -> jax.Array:
    """The finished picture, uint8 `[H, W, 3]`."""
    return jnp.clip(jnp.round(image), 0, 255).astype(jnp.uint8)


class Window(NamedTuple):
    """A rectangle of whole pixels in a picture.

    Attributes:
        top: its first row.
        left: its first column.
        height: rows, static.
        width: columns, static.
    """

    top: Any
    left: Any
    height: int
    width: int


def window_around(at: Canvas, center: Any, reach: tuple[float, float]) -> Window:
    """The window about a point, or as much of it as there is room for in the picture.

    Its size depends on `reach` alone, so that the point may be traced: where the window would
    stick out, it is moved into the picture.

    Args:
        at: the canvas.
        center: the point, `[2]`.
        reach: pixels to either side, and up and down, that must lie within.
    """
    sides = at.x.shape[1], at.y.shape[0]
    # A pixel more at each end, for rounding.
    width, height = (min(2 * math.ceil(r) + 2, side) for r, side in zip(reach, sides, strict=True))
    left, top = (
        jnp.clip(jnp.round(middle - size / 2), 0, side - size).astype(jnp.int32)
        for middle, size, side in (
            (center[0] - at.x[0, 0], width, sides[0]),
            (at.y[0, 0] - center[1], height, sides[1]),
        )
    )
    return Window(top, left, height, width)


def redraw(
    picture: jax.Array, at: Canvas, window: Window, scene: Callable[[Canvas], jax.Array]
) -> jax.Array:
    """A finished picture whose pixels in a window are those of a scene, uint8 `[H, W, 3]`.

    Args:
        picture: uint8 `[H, W, 3]`.
        at: its canvas.
        window: where.
        scene: the image, float32 `[h, w, 3]`, of the window's part of the canvas.
    """
    part = Canvas(at.x[:, : window.width] + window.left, at.y[: window.height] - window.top)
    corner = (window.top, window.left, 0)
    return jax.lax.dynamic_update_slice(picture, to_uint8(scene(part)), corner)
