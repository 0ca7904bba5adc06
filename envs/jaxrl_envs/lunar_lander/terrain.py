"""The ground: ten straight edges between eleven points, two metres apart."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_envs.lunar_lander.geometry import HELIPAD_Y, WORLD_HEIGHT, WORLD_WIDTH
from jaxrl_envs.lunar_lander.vectors import Vec2

NUM_POINTS = 11
SPACING = WORLD_WIDTH / (NUM_POINTS - 1)  # m
NUM_DRAWS = NUM_POINTS + 1
"""Random heights of one terrain; one more than points, because smoothing reaches past the end."""
MAX_HEIGHT = WORLD_HEIGHT / 2
"""Random heights are uniform in [0, MAX_HEIGHT]."""
EDGES_NEAR = 2
"""How many edges a body is tested against: those that it can reach from where it is."""


class Edge(NamedTuple):
    """One edge, from left to right, and its number from 0 to 9."""

    start: Vec2
    end: Vec2
    number: jax.Array


def smooth(draws: jax.Array) -> jax.Array:
    """The heights of the ground's points, `[..., 11]`, of the random draws `[..., 12]`, m.

    Gymnasium flattens draws 3 to 7 and averages over three neighbours, with a weight of 0.33, so
    that the pad is 1 % lower than `HELIPAD_Y`. The first point's left neighbour is the last draw.
    """
    pad = jnp.arange(NUM_DRAWS)
    flat = jnp.where((pad >= 3) & (pad <= 7), HELIPAD_Y, draws)
    left = jnp.roll(flat, 1, axis=-1)
    right = jnp.roll(flat, -1, axis=-1)
    return (0.33 * (left + flat + right))[..., :NUM_POINTS]


def edges_near(terrain: jax.Array, x: Any) -> list[Edge]:
    """The `EDGES_NEAR` edges closest to `x`: they reach at least a metre to either side of it."""
    middle = jnp.floor(x / SPACING - 0.5)
    first = jnp.clip(middle, 0, NUM_POINTS - 1 - EDGES_NEAR).astype(jnp.int32)
    # Picked by a mask, not an index: under vmap an index is a gather, which is slow on a CPU.
    offsets = jnp.arange(NUM_POINTS) - first
    points = [
        Vec2((first + k) * SPACING, jnp.where(offsets == k, terrain, 0.0).sum())
        for k in range(EDGES_NEAR + 1)
    ]
    return [Edge(points[k], points[k + 1], first + k) for k in range(EDGES_NEAR)]


PAD_HEIGHT = 0.33 * 3 * HELIPAD_Y
"""Height of the ground between the flags, m."""


def height_at(terrain: jax.Array, x: Any) -> jax.Array:
    """The ground's height below a place, m."""
    near = jnp.maximum(0.0, 1.0 - jnp.abs(x / SPACING - jnp.arange(NUM_POINTS)))
    return (near * terrain).sum(-1)
