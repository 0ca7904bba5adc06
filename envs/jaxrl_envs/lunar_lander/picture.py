"""Gymnasium's picture of the lander, on the device.

Lengths are in pixels of Gymnasium's picture of 600 by 400, times `unit` for other sizes. Its
coordinates are those of pixels, not of points between them, and its shapes include their outline:
everything lies half a pixel further up and right than it says, and is half a pixel larger.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_envs import draw
from jaxrl_envs.lunar_lander.engines import Power
from jaxrl_envs.lunar_lander.geometry import (
    HELIPAD_Y,
    HULL,
    LEG,
    SCALE,
    WORLD_WIDTH,
    Polygon,
    hull_origin,
)
from jaxrl_envs.lunar_lander.terrain import SPACING
from jaxrl_envs.lunar_lander.vectors import Pose, unstack

SKY, GROUND = 0.0, 255.0  # greys
FILL, LINE = (128, 102, 230), (77, 77, 128)
POLE, FLAG = (255, 255, 255), (204, 204, 0)
EXHAUST = ((255, 108, 108), (217, 89, 89), (178, 70, 70))
"""Colours of Gymnasium's particles after one, two and three frames."""
POLE_HEIGHT, FLAG_LENGTH, FLAG_HEIGHT = 50, 25, 10
FLAGS = tuple((WORLD_WIDTH / 2 + side * SPACING) * SCALE for side in (-1, 1))
"""Where the flags stand."""
FLAG_FOOT = HELIPAD_Y * SCALE
FLAGS_MIDDLE = ((FLAGS[0] + FLAGS[1] + FLAG_LENGTH) / 2, FLAG_FOOT + POLE_HEIGHT / 2)
FLAGS_REACH = ((FLAGS[1] - FLAGS[0] + FLAG_LENGTH) / 2 + 3, POLE_HEIGHT / 2 + 1)
"""How far flags and poles reach from their middle, across and up; flags end in a long tip."""
LANDER_REACH = 46
"""How far all that is drawn of a lander reaches from the hull's origin: exhaust does 41.6, and legs
36 in the worst of crashes."""
MARGIN = 3
"""What edges and outlines add to a reach, pixels of any picture."""


def render(poses: Pose, terrain: jax.Array, power: Power, *, height: int, width: int) -> jax.Array:
    """The picture of one state, uint8 `[height, width, 3]`; its width shows the whole ground.

    Most pixels are sky or ground, and cost no more than to find out which: all else is drawn in two
    windows only, one around the flags and one around the lander.

    Args:
        poses: of hull and legs, `[3]`.
        terrain: heights of the ground, m, `[11]`.
        power: of the engines, whose exhaust is drawn.
        height, width: pixels.
    """
    at, unit = canvas(height, width)
    origin = hull_origin(unstack(poses)[0])

    def without_lander(at: draw.Canvas) -> jax.Array:
        return _flags(_ground(at, terrain, unit), at, unit)

    def whole(at: draw.Canvas) -> jax.Array:
        return scene(at, poses, terrain, power, unit)

    ground = draw.to_uint8(_ground(at, terrain, unit))
    picture = jnp.broadcast_to(ground, (height, width, 3))
    window = draw.window_around(at, *_reach(FLAGS_MIDDLE, FLAGS_REACH, unit))
    picture = draw.redraw(picture, at, window, without_lander)
    place = (origin.x * SCALE, origin.y * SCALE)
    window = draw.window_around(at, *_reach(place, (LANDER_REACH, LANDER_REACH), unit))
    return draw.redraw(picture, at, window, whole)


def canvas(height: int, width: int) -> tuple[draw.Canvas, float]:
    """A picture's canvas, and its pixels per pixel of Gymnasium's."""
    unit = width / (WORLD_WIDTH * SCALE)
    at = draw.canvas(height, width)
    # Drawn as if Gymnasium's coordinates were points: shift the canvas, not the shapes.
    return draw.Canvas(at.x - 0.5 * unit, at.y - 0.5 * unit), unit


def scene(at: draw.Canvas, poses: Pose, terrain: jax.Array, power: Power, unit: float) -> jax.Array:
    """All that there is to see on a canvas or a part of it, float32 `[H, W, 3]`; see `render`."""
    hull, *legs = unstack(poses)
    image = _exhaust(_ground(at, terrain, unit), at, hull, power, unit)
    for pose, shape in ((hull, HULL), *((leg, LEG) for leg in legs)):
        body = draw.polygon(at, _corners(shape, pose) * SCALE * unit)
        image = draw.paint(image, draw.coverage(draw.grow(body, 0.5 * unit)), FILL)
        image = draw.paint(image, draw.outline(body, max(1.0, unit)), LINE)
    return _flags(image, at, unit)


def _reach(middle: tuple[Any, Any], reach: tuple[float, float], unit: float) -> tuple[Any, Any]:
    """Both in pixels of this picture, the reach with the margin of edges and outlines."""
    (x, y), (across, up) = middle, reach
    return (x * unit, y * unit), (across * unit + MARGIN, up * unit + MARGIN)


def _ground(at: draw.Canvas, terrain: jax.Array, unit: float) -> jax.Array:
    """Sky and ground, `[H, W, 1]`: both are grey."""
    meter = SCALE * unit
    ground = draw.grow(draw.below(at, terrain * meter, SPACING * meter), -0.5 * unit)
    return SKY + (GROUND - SKY) * draw.coverage(ground)[..., None]


def _corners(shape: Polygon, pose: Pose) -> jax.Array:
    """A body's corners in the world, m, `[V, 2]`."""
    local = jnp.array([(v.x, v.y) for v in shape.vertices], jnp.float32)
    return _placed(local, pose)


def _placed(local: jax.Array, pose: Pose) -> jax.Array:
    return draw.rotate(local, pose.angle) + jnp.stack([pose.center.x, pose.center.y])


def _flags(image: jax.Array, at: draw.Canvas, unit: float) -> jax.Array:
    """The flags, and poles that stay a pixel wide in small pictures."""
    foot, rim = FLAG_FOOT * unit, 0.5 * unit
    top, thick = foot + POLE_HEIGHT * unit, max(rim, 0.5)
    for x in (place * unit for place in FLAGS):
        pole = draw.rectangle(at, x - thick, foot - rim, x + thick, top + rim)
        image = draw.paint(image, draw.coverage(pole), POLE)
        tip = (x + FLAG_LENGTH * unit, top - FLAG_HEIGHT / 2 * unit)
        cloth = draw.polygon(at, jnp.array([(x, top - FLAG_HEIGHT * unit), tip, (x, top)]))
        image = draw.paint(image, draw.coverage(draw.grow(cloth, rim)), FLAG)
    return image


def _exhaust(image: jax.Array, at: draw.Canvas, hull: Pose, power: Power, unit: float) -> jax.Array:
    """Three discs behind each nozzle that fires, further out the older they are."""
    radius = max(2 * unit, 1.0)

    def disc(image: jax.Array, x: Any, y: Any, color: draw.Color, strength: Any) -> jax.Array:
        """One disc, its place in pixels from the hull's origin."""
        local = jnp.stack([jnp.float32(x), jnp.float32(y)]) / SCALE
        local = local - jnp.array([HULL.centroid.x, HULL.centroid.y])
        shape = draw.disc(at, _placed(local, hull) * SCALE * unit, radius)
        return draw.paint(image, draw.coverage(shape), color, strength)

    for age, color in enumerate(EXHAUST):
        image = disc(image, 0.0, -14.0 - 9 * age, color, power.main)
        image = disc(image, -power.direction * (21.0 + 8 * age), 14.0, color, power.side)
    return image
