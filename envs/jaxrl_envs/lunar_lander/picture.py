"""Gymnasium's picture of the lander, on the device."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxrl_envs import draw
from jaxrl_envs.lunar_lander.engines import Power
from jaxrl_envs.lunar_lander.vectors import Pose

def render(
    poses: Pose, terrain: jax.Array, power: Power, *, height: int, width: int
) -> jax.Array:
    at = draw.canvas(height, width)
    return draw.to_uint8(draw.background(at, (0,0,0)))
