"""Games on a board of planes, MinAtar's above all: one colour for each plane."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_envs import draw

PALETTE = (
    (92, 205, 110),
    (235, 235, 235),
    (120, 130, 150),
    (222, 120, 70),
    (240, 205, 80),
    (95, 150, 240),
    (205, 90, 190),
    (80, 200, 210),
    (200, 60, 60),
    (150, 110, 235),
)
"""Colours of the planes, in their order; the player is green."""

GROUND, BEYOND = (24, 26, 36), (60, 62, 72)
"""Colours of a cell with nothing on it, and of what lies beside the board."""

BREAKOUT_QUANTITIES = {
    "paddle_column": ("cells", "column of the paddle, 0 at the left; it is in row 9"),
    "ball_row": ("cells", "row of the ball, 0 at the top"),
    "ball_column": ("cells", "column of the ball, 0 at the left"),
    "ball_moves_down": ("cells/step", "1 if the ball is going down, -1 if it is going up"),
    "ball_moves_right": ("cells/step", "1 if the ball is going right, -1 if it is going left"),
    "ball_right_of_paddle": ("cells", "how far the ball is right of the paddle"),
    "bricks": ("bricks", "bricks that are left of 30"),
    "time": ("steps", "steps since the episode began"),
}


def is_board(obs: Any, state: Any, params: Any) -> bool:
    """Whether observations are a board `[rows, columns, planes]` that the palette has colours for.

    Images have many more pixels than a board has cells.
    """
    shape = getattr(obs, "shape", ())
    return len(shape) == 3 and max(shape[:2]) <= 32 and 2 <= shape[2] <= len(PALETTE)


def render(env: Any, state: Any, params: Any, *, height: int = 400, width: int = 400) -> jax.Array:
    """The board in the middle of the picture, uint8 `[height, width, 3]`.

    Of planes that lie over each other the last is on top, as in MinAtar's own picture.
    """
    at = draw.canvas(height, width)
    planes = env.get_obs(state, params) > 0
    colors = jnp.broadcast_to(jnp.array(GROUND, jnp.float32), (*planes.shape[:2], 3))
    for i in range(planes.shape[2]):
        colors = jnp.where(planes[:, :, i, None], jnp.array(PALETTE[i], jnp.float32), colors)
    place = draw.board(height, width, *planes.shape[:2])
    lattice = jnp.full((2 * place.rows + 1, 2 * place.columns + 1, 3), jnp.array(GROUND))
    lattice = lattice.astype(jnp.float32).at[1::2, 1::2].set(colors)
    image = draw.background(at, BEYOND)
    return draw.to_uint8(draw.paint_cells(image, at, place, lattice, gap=0.08))


def describe_breakout(state: Any, params: Any) -> dict[str, jax.Array]:
    """MinAtar's Breakout in words' worth of numbers; units are in `BREAKOUT_QUANTITIES`.

    The ball's directions are 0 up and left, 1 up and right, 2 down and right, 3 down and left.
    """
    del params
    direction = jnp.asarray(state.ball_dir)
    return {
        "paddle_column": jnp.asarray(state.pos),
        "ball_row": state.ball_y,
        "ball_column": state.ball_x,
        "ball_moves_down": jnp.where(direction >= 2, 1, -1),
        "ball_moves_right": jnp.where((direction == 1) | (direction == 2), 1, -1),
        "ball_right_of_paddle": state.ball_x - state.pos,
        "bricks": (state.brick_map > 0).sum(),
        "time": jnp.asarray(state.time),
    }
