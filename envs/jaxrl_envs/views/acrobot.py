"""Acrobot in Gymnasium's look: two links hanging from a pivot, and the line to be reached."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_envs import draw

QUANTITIES = {
    "angle_1": ("rad", "angle of the first link from hanging down; positive is counter-clockwise"),
    "angle_1_degrees": ("deg", "the same in degrees"),
    "angle_2": ("rad", "angle of the second link from the direction of the first"),
    "angle_2_degrees": ("deg", "the same in degrees"),
    "angular_velocity_1": ("rad/s", "how fast the first angle grows"),
    "angular_velocity_2": ("rad/s", "how fast the second angle grows"),
    "tip_height": ("m", "height of the free end above the pivot; the goal is above 1"),
    "time": ("steps", "steps since the episode began"),
}


def describe(state: Any, params: Any) -> dict[str, jax.Array]:
    """The state in words' worth of numbers; units are in `QUANTITIES`."""
    one, two = state.joint_angle1, state.joint_angle2
    height = -params.link_length_1 * jnp.cos(one) - params.link_length_2 * jnp.cos(one + two)
    return {
        "angle_1": one,
        "angle_1_degrees": jnp.rad2deg(one),
        "angle_2": two,
        "angle_2_degrees": jnp.rad2deg(two),
        "angular_velocity_1": state.velocity_1,
        "angular_velocity_2": state.velocity_2,
        "tip_height": height,
        "time": jnp.asarray(state.time),
    }


def render(env: Any, state: Any, params: Any, *, height: int = 500, width: int = 500) -> jax.Array:
    """Gymnasium's picture of one state, uint8 `[height, width, 3]`.

    Its square is as large as fits, in the middle of the picture.
    """
    del env
    at = draw.canvas(height, width)
    side = min(height, width)
    reach = params.link_length_1 + params.link_length_2 + 0.2
    scale = side / (2 * reach)  # pixels per meter
    pixel = side / 500  # one of Gymnasium's; its shapes include their outline
    rim = 0.5 * pixel
    pivot = jnp.array([width / 2, height / 2]) + rim

    line = draw.outline(at.y - (height / 2 + scale), max(1.0, pixel))
    line = line * draw.coverage(jnp.abs(at.x - width / 2) - side / 2)
    image = draw.paint(draw.background(at, (255, 255, 255)), line, (0, 0, 0))
    start, angle = pivot, state.joint_angle1 - jnp.pi / 2
    for length, turn in ((params.link_length_1, state.joint_angle2), (params.link_length_2, 0.0)):
        link = draw.box(0.0, -0.1, 1.0, 0.1) * jnp.stack([jnp.asarray(length), jnp.float32(1)])
        corners = draw.rotate(link * scale, angle) + start
        joint = draw.disc(at, start, 0.1 * scale)
        for shape, color in ((draw.polygon(at, corners), (0, 204, 204)), (joint, (204, 204, 0))):
            image = draw.paint(image, draw.coverage(draw.grow(shape, rim)), color)
        start = start + length * scale * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        angle = angle + turn
    return draw.to_uint8(image)
