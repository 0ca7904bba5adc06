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
from jaxrl_envs.lunar_lander.geometry import HELIPAD_Y, HULL, LEG, SCALE, WORLD_WIDTH, Polygon
from jaxrl_envs.lunar_lander.terrain import SPACING
from jaxrl_envs.lunar_lander.vectors import Pose, unstack

SKY, GROUND = (0, 0, 0), (255, 255, 255)
FILL, LINE = (128, 102, 230), (77, 77, 128)
POLE, FLAG = (255, 255, 255), (204, 204, 0)
EXHAUST = ((255, 108, 108), (217, 89, 89), (178, 70, 70))
"""Colours of Gymnasium's particles after one, two and three frames."""
POLE_HEIGHT, FLAG_LENGTH, FLAG_HEIGHT = 50, 25, 10


def render(poses: Pose, terrain: jax.Array, power: Power, *, height: int, width: int) -> jax.Array:
    """The picture of one state, uint8 `[height, width, 3]`; its width shows the whole ground.

    Args:
        poses: of hull and legs, `[3]`.
        terrain: heights of the ground, m, `[11]`.
        power: of the engines, whose exhaust is drawn.
        height, width: pixels.
    """
    at = draw.canvas(height, width)
    unit = width / (WORLD_WIDTH * SCALE)
    rim, meter = 0.5 * unit, SCALE * unit
    # Drawn as if Gymnasium's coordinates were points: shift the canvas, not the shapes.
    at = draw.Canvas(at.x - rim, at.y - rim)
    hull, *legs = unstack(poses)

    ground = draw.grow(draw.below(at, terrain * meter, SPACING * meter), -rim)
    image = draw.background(at, SKY)
    image = draw.paint(image, draw.coverage(ground), GROUND)
    image = _exhaust(image, at, hull, power, unit)
    for pose, shape in ((hull, HULL), *((leg, LEG) for leg in legs)):
        body = draw.polygon(at, _corners(shape, pose) * meter)
        image = draw.paint(image, draw.coverage(draw.grow(body, rim)), FILL)
        image = draw.paint(image, draw.outline(body, max(1.0, unit)), LINE)
    for x in (WORLD_WIDTH / 2 - SPACING, WORLD_WIDTH / 2 + SPACING):
        image = _flag(image, at, x * meter, HELIPAD_Y * meter, unit)
    return draw.to_uint8(image)


def _corners(shape: Polygon, pose: Pose) -> jax.Array:
    """A body's corners in the world, m, `[V, 2]`."""
    local = jnp.array([(v.x, v.y) for v in shape.vertices], jnp.float32)
    return _placed(local, pose)


def _placed(local: jax.Array, pose: Pose) -> jax.Array:
    return draw.rotate(local, pose.angle) + jnp.stack([pose.center.x, pose.center.y])


def _flag(image: jax.Array, at: draw.Canvas, x: float, foot: float, unit: float) -> jax.Array:
    """A pole that stays a pixel wide in small pictures, and its flag."""
    top, rim = foot + POLE_HEIGHT * unit, 0.5 * unit
    thick = max(rim, 0.5)
    pole = draw.rectangle(at, x - thick, foot - rim, x + thick, top + rim)
    image = draw.paint(image, draw.coverage(pole), POLE)
    cloth = jnp.array(
        [
            (x, top - FLAG_HEIGHT * unit),
            (x + FLAG_LENGTH * unit, top - FLAG_HEIGHT / 2 * unit),
            (x, top),
        ]
    )
    return draw.paint(image, draw.coverage(draw.grow(draw.polygon(at, cloth), rim)), FLAG)


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
