"""The state of LunarLander in named quantities, for prompts and for rewards written in words."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxrl_envs.lunar_lander import terrain
from jaxrl_envs.lunar_lander.engines import wind_forces
from jaxrl_envs.lunar_lander.geometry import HELIPAD_Y, LEG_DOWN, WORLD_WIDTH, hull_origin
from jaxrl_envs.lunar_lander.observation import fuel_cost
from jaxrl_envs.lunar_lander.state import LunarLanderParams, LunarLanderState
from jaxrl_envs.lunar_lander.vectors import unstack

QUANTITIES: dict[str, tuple[str, str]] = {
    "x": ("m", "horizontal position; 0 is the middle of the pad, positive is to the right"),
    "y": ("m", "height of the hull above where it is when standing upright on the pad"),
    "x_velocity": ("m/s", "horizontal velocity; positive is to the right"),
    "y_velocity": ("m/s", "vertical velocity; positive is up"),
    "angle": ("rad", "tilt from upright; positive is to the left, counter-clockwise"),
    "angle_degrees": ("deg", "the same tilt in degrees"),
    "angular_velocity": ("rad/s", "how fast the tilt grows"),
    "right_leg_contact": ("bool", "whether the leg on the right of the picture touches ground"),
    "left_leg_contact": ("bool", "whether the leg on the left of the picture touches ground"),
    "height_above_pad": ("m", "height of the hull's middle above the pad"),
    "height_above_ground": ("m", "height of the hull's middle above the ground below it"),
    "distance_to_pad": ("m", "distance from the middle of the pad, across and up"),
    "over_pad": ("bool", "whether the hull is above the pad, between the flags"),
    "main_engine": ("share", "power of the main engine in the last step, 0 or 0.5 to 1"),
    "left_engine": ("share", "power of the left engine, which pushes and turns to the left"),
    "right_engine": ("share", "power of the right engine, which pushes and turns to the right"),
    "fuel_cost": ("reward", "what the engines cost in the last step"),
    "crashed": ("bool", "whether the hull has touched the ground"),
    "at_rest": ("bool", "whether the lander has come to rest"),
    "wind_force": ("N", "force of the wind on the hull in the next step, to the right"),
    "time": ("steps", "steps since the episode began"),
}
"""Name to `(unit, meaning)`."""


def describe(state: LunarLanderState, params: LunarLanderParams) -> dict[str, jax.Array]:
    """The state in words' worth of numbers; units are in `QUANTITIES`."""
    after = state.world
    hull, *_ = unstack(after.poses)
    motion, *_ = unstack(after.velocities)
    origin = hull_origin(hull)
    x, pad = origin.x - WORLD_WIDTH / 2, terrain.PAD_HEIGHT
    wind, _ = wind_forces(state.wind_index, state.torque_index, params)
    blows = params.enable_wind & ~after.ground_contact.any()
    return {
        "x": x,
        "y": origin.y - HELIPAD_Y - LEG_DOWN,
        "x_velocity": motion.linear.x,
        "y_velocity": motion.linear.y,
        "angle": hull.angle,
        "angle_degrees": jnp.rad2deg(hull.angle),
        "angular_velocity": motion.angular,
        "right_leg_contact": after.ground_contact[0],
        "left_leg_contact": after.ground_contact[1],
        "height_above_pad": origin.y - pad,
        "height_above_ground": origin.y - terrain.height_at(state.terrain, origin.x),
        "distance_to_pad": jnp.sqrt(x**2 + (origin.y - pad) ** 2),
        "over_pad": jnp.abs(x) <= terrain.SPACING,
        "main_engine": state.power.main,
        "left_engine": jnp.where(state.power.direction < 0, state.power.side, 0.0),
        "right_engine": jnp.where(state.power.direction > 0, state.power.side, 0.0),
        "fuel_cost": fuel_cost(state.power),
        "crashed": after.hull_contact,
        "at_rest": ~after.awake,
        "wind_force": jnp.where(blows, wind, 0.0),
        "time": state.time,
    }
