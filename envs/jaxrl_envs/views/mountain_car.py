"""MountainCar, with discrete or continuous actions, in Gymnasium's look: a hill, a car, a flag."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_envs import draw

QUANTITIES = {
    "position": ("m", "position of the car; the valley's bottom is at -0.52"),
    "velocity": ("m/step", "velocity of the car; positive is to the right"),
    "height": ("m", "height of the car on the hill; the valley's bottom is at 0.1"),
    "distance_to_goal": ("m", "how far the flag lies to the right of the car"),
    "time": ("steps", "steps since the episode began"),
}


def hill(position: Any) -> jax.Array:
    """Height of the hill, m."""
    return 0.45 * jnp.sin(3 * position) + 0.55


def describe(state: Any, params: Any) -> dict[str, jax.Array]:
    """The state in words' worth of numbers; units are in `QUANTITIES`."""
    return {
        "position": jnp.asarray(state.position),
        "velocity": jnp.asarray(state.velocity),
        "height": hill(state.position),
        "distance_to_goal": params.goal_position - state.position,
        "time": jnp.asarray(state.time),
    }


def render(env: Any, state: Any, params: Any, *, height: int = 400, width: int = 600) -> jax.Array:
    """Gymnasium's picture of one state, uint8 `[height, width, 3]`.

    Its picture of 400 by 600 is scaled to fit, and stands in the middle of the lower edge.
    """
    del env
    at = draw.canvas(height, width)
    unit = min(width / 600, height / 400)  # pixels of this picture per pixel of Gymnasium's
    rim = 0.5 * unit  # its shapes include their outline
    left = (width - 600 * unit) / 2 + rim
    scale = 600 * unit / (params.max_position - params.min_position)  # pixels per meter

    def place(position: Any) -> jax.Array:
        """Where on the hill that is, in pixels."""
        return jnp.stack([left + (position - params.min_position) * scale, hill(position) * scale])

    image = draw.background(at, (255, 255, 255))
    # The distance to a curve is nearly that in y, times the cosine of its slope.
    x = (at.x - left) / scale + params.min_position
    cosine = 1 / jnp.sqrt(1 + (1.35 * jnp.cos(3 * x)) ** 2)
    curve = (at.y - rim - hill(x) * scale) * cosine
    track = draw.outline(curve, max(1.0, unit))
    track = track * draw.coverage(jnp.abs(at.x - width / 2) - 300 * unit)
    image = draw.paint(image, track, (0, 0, 0))

    def on_car(points: Any) -> jax.Array:
        turned = draw.rotate(jnp.array(points) * unit, jnp.cos(3 * state.position))
        return turned + place(state.position) + jnp.array([0.0, 10 * unit + rim])

    body = draw.polygon(at, on_car([(-20.0, 0.0), (20.0, 0.0), (20.0, 20.0), (-20.0, 20.0)]))
    wheels = [draw.disc(at, on_car(center), 8 * unit) for center in ((10.0, 0.0), (-10.0, 0.0))]
    flag = place(params.goal_position) + jnp.array([0.0, rim])
    pole = draw.rectangle(at, flag[0], flag[1], flag[0], flag[1] + 50 * unit)
    cloth = jnp.array([(0.0, 50.0), (0.0, 40.0), (25.0, 45.0)]) * unit + flag
    for shape, color in (
        (body, (0, 0, 0)),
        (wheels[0], (128, 128, 128)),
        (wheels[1], (128, 128, 128)),
        (draw.grow(pole, max(0.0, 0.5 - rim)), (0, 0, 0)),  # at least a pixel wide
        (draw.polygon(at, cloth), (204, 204, 0)),
    ):
        image = draw.paint(image, draw.coverage(draw.grow(shape, rim)), color)
    return draw.to_uint8(image)
