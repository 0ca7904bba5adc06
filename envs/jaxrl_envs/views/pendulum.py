"""Pendulum in Gymnasium's look: a rod on an axle, and an arrow as large as the torque."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_envs import draw

QUANTITIES = {
    "angle": ("rad", "angle of the rod from upright, in ±π; positive is counter-clockwise"),
    "angle_degrees": ("deg", "the same in degrees"),
    "angular_velocity": ("rad/s", "how fast the angle grows"),
    "torque": ("N m", "torque of the last step; positive is counter-clockwise"),
    "time": ("steps", "steps since the episode began"),
}

REACH = 2.2
"""Meters from the axle to the edge of the picture."""


def describe(state: Any, params: Any) -> dict[str, jax.Array]:
    """The state in words' worth of numbers; units are in `QUANTITIES`."""
    del params
    angle = (state.theta + jnp.pi) % (2 * jnp.pi) - jnp.pi
    return {
        "angle": angle,
        "angle_degrees": jnp.rad2deg(angle),
        "angular_velocity": jnp.asarray(state.theta_dot),
        "torque": jnp.asarray(state.last_u),
        "time": jnp.asarray(state.time),
    }


def render(env: Any, state: Any, params: Any, *, height: int = 500, width: int = 500) -> jax.Array:
    """Gymnasium's picture of one state, uint8 `[height, width, 3]`.

    Its square is as large as fits, in the middle of the picture. The rod is one meter whatever
    the parameters say, as it is there.
    """
    del env, params
    at = draw.canvas(height, width)
    side = min(height, width)
    scale = side / (2 * REACH)  # pixels per meter
    rim = 0.5 * side / 500  # half a pixel of Gymnasium's, whose shapes include their outline
    axle = jnp.array([width / 2, height / 2]) + rim
    angle = state.theta + jnp.pi / 2
    tip = axle + scale * jnp.stack([jnp.cos(angle), jnp.sin(angle)])

    image = draw.background(at, (255, 255, 255))
    rod = draw.grow(draw.capsule(at, axle, tip, 0.1 * scale), rim)
    image = draw.paint(image, draw.coverage(rod), (204, 77, 77))
    image = draw.paint(image, _arrow(at, axle, state.last_u, scale, rim), (0, 0, 0))
    pin = draw.grow(draw.disc(at, axle, 0.05 * scale), rim)
    return draw.to_uint8(draw.paint(image, draw.coverage(pin), (0, 0, 0)))


def _arrow(
    at: draw.Canvas, axle: jax.Array, torque: jax.Array, scale: float, rim: float
) -> jax.Array:
    """How much of each pixel the arrow covers: three quarters of a ring and a head. `[H, W]`."""
    size = jnp.maximum(scale * jnp.abs(torque) / 2, 1e-3)  # of the square that it fits in
    # Drawn clockwise about the origin; a positive torque mirrors it. The head sticks out to the
    # left, so that the ring is off the middle, and Gymnasium squeezes it a little to a square.
    sign, squeeze = jnp.where(torque > 0, -1.0, 1.0), 312 / 329
    x, y = at.x - (axle[0] - rim), at.y - (axle[1] - rim)
    unit = draw.Canvas(sign * x / (size * squeeze) - 0.027, y / size)
    ring = draw.arc(unit, (0.0, 0.0), 0.484, 0.032, -jnp.pi, jnp.pi / 2)
    tip, notch = (-0.485, 0.15), (-0.485, 0.0)
    left = draw.polygon(unit, jnp.array([tip, (-0.556, -0.043), notch]))
    right = draw.polygon(unit, jnp.array([tip, notch, (-0.414, -0.043)]))
    shape = jnp.minimum(ring, jnp.minimum(left, right))
    # A torque too small to be seen as an arrow fades, for its line is thinner than a pixel.
    line = jnp.minimum(1.0, 0.032 * size)
    return line * draw.coverage(shape * size)
