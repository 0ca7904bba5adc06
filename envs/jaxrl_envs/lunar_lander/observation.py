"""What Gymnasium makes of the world: eight numbers to see, and the parts of the reward."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxrl_envs.lunar_lander.engines import Power
from jaxrl_envs.lunar_lander.geometry import (
    FPS,
    HELIPAD_Y,
    LEG_DOWN,
    WORLD_HEIGHT,
    WORLD_WIDTH,
    hull_origin,
)
from jaxrl_envs.lunar_lander.world import World


def observe(after: World) -> jax.Array:
    """Gymnasium's observation, float32 `[..., 8]`.

    Position over half the picture's size, from the middle of the pad and the height of a lander
    standing there; velocity in such units times 0.02 × half the size, which is nobody's unit;
    angle in rad; angular velocity in 0.4 rad/s; contact of each leg, the right one first.
    """
    hull = jax.tree.map(lambda x: x[..., 0], after.poses)
    motion = jax.tree.map(lambda x: x[..., 0], after.velocities)
    origin = hull_origin(hull)
    half_width, half_height = WORLD_WIDTH / 2, WORLD_HEIGHT / 2
    return jnp.stack(
        [
            (origin.x - half_width) / half_width,
            (origin.y - (HELIPAD_Y + LEG_DOWN)) / half_height,
            motion.linear.x * half_width / FPS,
            motion.linear.y * half_height / FPS,
            hull.angle,
            20.0 * motion.angular / FPS,
            after.ground_contact[..., 0].astype(jnp.float32),
            after.ground_contact[..., 1].astype(jnp.float32),
        ],
        axis=-1,
    )


def shaping(obs: jax.Array) -> jax.Array:
    """The potential of an observation `[..., 8]`: near, slow, upright and on its legs is good."""
    x, y, vx, vy, angle, _, right, left = jnp.moveaxis(obs, -1, 0)
    far, fast = jnp.sqrt(x * x + y * y), jnp.sqrt(vx * vx + vy * vy)
    return -100 * far - 100 * fast - 100 * jnp.abs(angle) + 10 * right + 10 * left


def fuel_cost(power: Power) -> jax.Array:
    """What the engines' last impulses cost."""
    return 0.3 * power.main + 0.03 * power.side
