"""Engines and wind, as Gymnasium applies them, its oddities included.

Engines act by impulses before the step. Two random numbers of each step, its dispersion, blur where
an engine pushes; and because Gymnasium takes the offset of that point for the thrust, they blur
how strongly and whither, too: the main engine's thrust varies by half.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_envs.lunar_lander.geometry import HULL, SCALE, hull_origin
from jaxrl_envs.lunar_lander.vectors import Pose, Vec2, Velocity, push

MAIN_POWER, SIDE_POWER = 13.0, 0.6
MAIN_DOWN, SIDE_AWAY, SIDE_UP = 4 / SCALE, 12 / SCALE, 14 / SCALE
SIDE_UP_LEFT = 17 / SCALE
"""Gymnasium's height of the side engines across the lander's tilt, where it means `SIDE_UP`."""


class Power(NamedTuple):
    """How strongly the engines fire.

    Attributes:
        main: 0, or 0.5 to 1.
        side: 0, or 0.5 to 1.
        direction: 1 where the right engine fires, -1 the left one.
    """

    main: jax.Array
    side: jax.Array
    direction: jax.Array


def discrete_power(action: jax.Array) -> Power:
    """Of actions 0 nothing, 1 left engine, 2 main engine, 3 right engine."""
    fires = {name: (action == a).astype(jnp.float32) for name, a in (("l", 1), ("m", 2), ("r", 3))}
    return Power(fires["m"], fires["l"] + fires["r"], fires["r"] - fires["l"])


def continuous_power(action: jax.Array) -> Power:
    """Of `[main, side]`, clipped to ±1; engines fire at half their power or more, or not at all."""
    main, side = jnp.clip(action[..., 0], -1, 1), jnp.clip(action[..., 1], -1, 1)
    return Power(
        main=jnp.where(main > 0, 0.5 * (main + 1), 0.0),
        side=jnp.where(jnp.abs(side) > 0.5, jnp.abs(side), 0.0),
        direction=jnp.sign(side),
    )


def fire(pose: Pose, velocity: Velocity, power: Power, dispersion: jax.Array) -> Velocity:
    """The hull's velocity after the engines' impulses.

    Args:
        pose, velocity: the hull's.
        power: of the engines.
        dispersion: two numbers in [-1, 1), `[2]`.
    """
    tip = Vec2(jnp.sin(pose.angle), jnp.cos(pose.angle))
    side = Vec2(-tip.y, tip.x)
    along, across = dispersion[0] / SCALE, dispersion[1] / SCALE
    origin = hull_origin(pose)

    def thrust(down: Any, left: Any) -> Vec2:
        """Gymnasium's offset; the signs are its own."""
        return Vec2(tip.x * down + side.x * left, -tip.y * down - side.y * left)

    def fired(velocity: Velocity, offset: Vec2, point: Vec2, power: Any) -> Velocity:
        return push(
            velocity, -power * offset, point - pose.center, HULL.inverse_mass, HULL.inverse_inertia
        )

    offset = thrust(MAIN_DOWN + 2 * along, across)
    velocity = fired(velocity, offset, origin + offset, MAIN_POWER * power.main)
    offset = thrust(along, 3 * across + power.direction * SIDE_AWAY)
    nozzle = origin + offset + Vec2(-tip.x * SIDE_UP_LEFT, tip.y * SIDE_UP)
    return fired(velocity, offset, nozzle, SIDE_POWER * power.side)


def gust(index: jax.Array) -> jax.Array:
    """The wind's share of its greatest strength at a step of its own count, in (-1, 1)."""
    return jnp.tanh(jnp.sin(0.02 * index) + jnp.sin(jnp.pi * 0.01 * index))


def wind_forces(
    wind_index: jax.Array, torque_index: jax.Array, params: Any
) -> tuple[jax.Array, jax.Array]:
    """Force to the right, N, and torque, N m, of the wind where it blows."""
    return (
        gust(wind_index) * params.wind_power,
        gust(torque_index) * params.turbulence_power,
    )
