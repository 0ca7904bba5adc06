"""The state after Gymnasium's reset, without a solver.

Gymnasium places hull and legs apart from each other, pushes the hull, and takes one step, in which
the joints pull all together far above the ground. What comes out is a linear function of the push
and of the wind's torque, but for the legs, which turn with the hull, and so have a part in the
square of its angle. `start.json` has the coefficients, fitted to the exact solver for a world
without gravity (`tests/envs/test_lunar_lander_physics.py` does it again): gravity moves all bodies
alike, and is added here.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_envs.lunar_lander.geometry import TIME_STEP
from jaxrl_envs.lunar_lander.joints import AT_LOWER, AT_UPPER
from jaxrl_envs.lunar_lander.vectors import Vec2
from jaxrl_envs.lunar_lander.world import World, at_rest, placed

FORCE_UNIT = 1000.0  # N
COEFFICIENTS = np.array(json.loads(resources.files(__package__).joinpath("start.json").read_text()))
"""`[features, numbers]`: a column for every number of `flat`, a row for every one of `features`."""
LIMITS = (AT_LOWER, AT_UPPER)
"""The legs are created beyond these limits of their joints."""


def features(force: Vec2, torque: Any, hull_angle: Any) -> jax.Array:
    """What the start is a linear function of, `[..., 5]`."""
    one = jnp.ones_like(force.x)
    x, y = force.x / FORCE_UNIT, force.y / FORCE_UNIT
    return jnp.stack([one, x, y, torque * one, hull_angle**2 * one], axis=-1)


def flat(world: World) -> jax.Array:
    """The numbers of a world that a start decides, `[..., 26]`; its angle is at `HULL_ANGLE`."""
    parts = jax.tree.leaves((world.poses, world.velocities, world.joints))
    return jnp.concatenate(parts, axis=-1)


HULL_ANGLE = 6


def fit(force: Vec2, torque: np.ndarray, worlds: jax.Array) -> np.ndarray:
    """Coefficients that make such starts, by least squares.

    Args:
        force, torque: of every start, N and N m, `[N]`.
        worlds: what the exact solver makes of them without gravity, `flat`, `[N, 26]`.
    """
    known = np.asarray(features(force, torque, 0.0), np.float64)[:, :-1]
    made = np.asarray(worlds, np.float64)
    angle = np.linalg.lstsq(known, made[:, HULL_ANGLE], rcond=None)[0]
    known = np.concatenate([known, (known @ angle)[:, None] ** 2], axis=1)
    coefficients = np.linalg.lstsq(known, made, rcond=None)[0]
    coefficients[:, HULL_ANGLE] = [*angle, 0.0]
    return coefficients


def after_first_step(force: Vec2, torque: Any, gravity: Any) -> World:
    """The world after the reset's step.

    Args:
        force: push of the hull throughout the step, N, with any leading axes.
        torque: on the hull, N m.
        gravity: m/s², one or with the same leading axes.
    """
    angle = features(force, torque, 0.0)[..., :-1] @ COEFFICIENTS[:-1, HULL_ANGLE]
    numbers = jnp.matmul(
        features(force, torque, angle), COEFFICIENTS, precision=jax.lax.Precision.HIGHEST
    )
    like = placed()
    leaves, structure = jax.tree.flatten((like.poses, like.velocities, like.joints))
    ends = np.cumsum([leaf.shape[-1] for leaf in leaves])[:-1]
    poses, velocities, joints = jax.tree.unflatten(structure, jnp.split(numbers, ends, axis=-1))
    fall = Vec2(0.0, TIME_STEP * jnp.asarray(gravity)[..., None])  # alike for all bodies
    world = at_rest(
        poses._replace(center=poses.center + TIME_STEP * fall),
        velocities._replace(linear=velocities.linear + fall),
        joints,
    )
    limits = jnp.broadcast_to(jnp.array(LIMITS, jnp.int32), world.limits.shape)
    return world.replace(limits=limits)
