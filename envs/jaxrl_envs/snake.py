"""snake-v0: a snake that grows with what it eats, and must hit neither a wall nor itself.

The rules are those of Gym-Snake's `snake-v0` (github.com/grantsrb/Gym-Snake), for one snake and
one food: 15 × 15 cells; +1 for a food, -1 and the end on a wall or on the body; the order of
actions; an action against the direction of travel is ignored, so that the snake never turns into
its own neck; the tail moves away first, so that the head may follow it. Where they leave a choice:

- The snake starts four cells long, in the middle of the board, heading down.
- Food is drawn uniformly from the free cells.
- A snake that fills the board has won: the episode terminates, with the last food's +1.
- A snake that has crashed stays where it was, so that a picture of it shows what happened.
- A time limit truncates, or a snake could go round in circles for ever.
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxrl_envs import base, draw, spaces

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""`(row, column)` of the actions up, right, down, left; rows are counted from the top."""

MAX_SIZE = 100
"""Largest board: longest snakes must fit the 16 bits of `SnakeState.life`."""


@struct.dataclass
class SnakeState(base.EnvState):
    """Snake and food.

    Attributes:
        life: for how many steps each cell stays part of the snake, int16 `[size, size]`: the
            length at the head, 1 at the tail, 0 off the snake.
        head: row and column of the head, int32 `[2]`.
        food: row and column of the food, int32 `[2]`; -1 where the board is full.
        direction: the last move, an action.
        length: cells of the snake.
        crashed: whether it has hit a wall or itself.
    """

    life: jax.Array
    head: jax.Array
    food: jax.Array
    direction: jax.Array
    length: jax.Array
    crashed: jax.Array


@struct.dataclass
class SnakeParams(base.EnvParams):
    """The time limit. To fill the board by a fixed round takes about `size⁴ / 2` steps."""

    max_steps_in_episode: int = 2000


class Snake(base.Environment):
    """snake-v0. Actions 0 up, 1 right, 2 down, 3 left; inside `jit` others are clamped.

    Args:
        size: cells a side, 3 to 100.
        start_length: cells of the snake at the start, 1 to `size`.
    """

    quantities: ClassVar[dict[str, tuple[str, str]]] = {
        "length": ("cells", "length of the snake"),
        "foods_eaten": ("foods", "foods eaten since the episode began"),
        "head_row": ("cells", "row of the head, 0 at the top"),
        "head_column": ("cells", "column of the head, 0 at the left"),
        "direction": ("action", "last move: 0 up, 1 right, 2 down, 3 left"),
        "food_row": ("cells", "row of the food; -1 where the board is full"),
        "food_column": ("cells", "column of the food; -1 where the board is full"),
        "food_below": ("cells", "how far the food lies below the head; negative is above"),
        "food_right": ("cells", "how far the food lies right of the head; negative is left"),
        "free_up": ("cells", "free cells above the head, up to the wall or the body"),
        "free_right": ("cells", "the same to the right"),
        "free_down": ("cells", "the same below"),
        "free_left": ("cells", "the same to the left"),
        "crashed": ("bool", "whether the snake has hit a wall or itself"),
        "time": ("steps", "steps since the episode began"),
    }

    def __init__(self, size: int = 15, start_length: int = 4) -> None:
        """A board; raises ValueError for a size or a length that cannot be."""
        self.size = base.check_whole("size", size, 3, MAX_SIZE)
        # The snake starts straight, so that it is at most as long as the board.
        self.start_length = base.check_whole("start_length", start_length, 1, self.size)
        self._start_life, self._start_head = _start(self.size, self.start_length)

    @property
    def name(self) -> str:
        """The name under which it is registered."""
        return "snake-v0"

    @property
    def default_params(self) -> SnakeParams:
        """The time limit."""
        return SnakeParams()

    def step_env(
        self, key: jax.Array, state: SnakeState, action: Any, params: SnakeParams
    ) -> tuple[jax.Array, SnakeState, jax.Array, jax.Array, dict[str, Any]]:
        """One move. A state that had terminated before stays as it is and gives reward 0.

        Raises:
            ValueError: outside `jit`, an action that is none.
        """
        self.check_action(action)
        over = self.is_terminated(state, params)
        action = jnp.clip(jnp.asarray(action, jnp.int32), 0, 3)
        backwards = (action - state.direction) % 4 == 2
        direction = jnp.where(backwards, state.direction, action)
        head = state.head + jnp.array(MOVES)[direction]

        ate = (head == state.food).all() & ~over
        life = state.life - jnp.where(ate, 0, jnp.sign(state.life)).astype(state.life.dtype)
        at_head = _at(head, self.size)
        outside = ((head < 0) | (head >= self.size)).any()
        crashed = (outside | (at_head & (life > 0)).any()) & ~over
        length = state.length + ate
        life = jnp.where(at_head, length.astype(life.dtype), life)

        moved = ~over & ~crashed
        next_food = self._draw_food(key, life)
        state = SnakeState(
            time=state.time + 1,
            life=jnp.where(moved, life, state.life),
            head=jnp.where(moved, head, state.head),
            food=jnp.where(ate, next_food, state.food),
            direction=jnp.where(over, state.direction, direction),
            length=length,
            crashed=state.crashed | crashed,
        )
        reward = ate.astype(jnp.float32) - crashed.astype(jnp.float32)
        return self.get_obs(state), state, reward, self.is_terminated(state, params), {}

    def _draw_food(self, key: jax.Array, life: jax.Array) -> jax.Array:
        """Row and column of a free cell, each equally likely; -1 if there is none."""
        # First the row, then the cell in it: two short sums instead of one over the whole board.
        free = life == 0
        in_rows = jnp.cumsum(free.sum(1, dtype=jnp.int32))
        number = jax.random.randint(key, (), 0, jnp.maximum(in_rows[-1], 1))
        row = (in_rows <= number).sum(dtype=jnp.int32)
        here = jnp.arange(self.size) == row
        before = jnp.where(here, in_rows, 0).sum() - (free & here[:, None]).sum(dtype=jnp.int32)
        in_columns = jnp.cumsum((free & here[:, None]).any(0), dtype=jnp.int32)
        column = (in_columns <= number - before).sum(dtype=jnp.int32)
        return jnp.where(in_rows[-1] > 0, jnp.stack([row, column]), -1)

    def reset_env(self, key: jax.Array, params: SnakeParams) -> tuple[jax.Array, SnakeState]:
        """The snake in the middle, the food anywhere else."""
        return self._starts(key, ())

    def reset_batch(
        self, key: jax.Array, params: SnakeParams, num_envs: int
    ) -> tuple[jax.Array, SnakeState]:
        """The same for `num_envs` lanes, of one draw."""
        return self._starts(key, (num_envs,))

    def _starts(self, key: jax.Array, shape: tuple[int, ...]) -> tuple[jax.Array, SnakeState]:
        free = np.argwhere(self._start_life == 0)
        row = jax.random.randint(key, shape, 0, len(free))

        def everywhere(value: Any, dtype: Any) -> jax.Array:
            value = jnp.asarray(value, dtype)
            return jnp.broadcast_to(value, shape + value.shape)

        state = SnakeState(
            time=everywhere(0, jnp.int32),
            life=everywhere(self._start_life, jnp.int16),
            head=everywhere(self._start_head, jnp.int32),
            food=jnp.asarray(free, jnp.int32)[row],
            direction=everywhere(2, jnp.int32),
            length=everywhere(self.start_length, jnp.int32),
            crashed=everywhere(False, jnp.bool_),
        )
        return self.get_obs(state), state

    def get_obs(
        self, state: SnakeState, params: Any = None, key: jax.Array | None = None
    ) -> jax.Array:
        """`[size, size, 3]` float32: the head, the snake, the food.

        The snake is how long a cell stays part of it, as a share of its length: 1 at the head,
        least at the tail, so that one picture tells which way it lies.
        """
        life = state.life.astype(jnp.float32)
        length = state.length.astype(jnp.float32)[..., None, None]
        head = (state.life == state.length[..., None, None]).astype(jnp.float32)
        return jnp.stack([head, life / length, self._food(state)], axis=-1)

    def _food(self, state: SnakeState) -> jax.Array:
        """1 where the food is, else 0, `[..., size, size]`."""
        return _at(state.food, self.size).astype(jnp.float32)

    def is_terminated(self, state: SnakeState, params: Any = None) -> jax.Array:
        """The snake has crashed, or fills the board."""
        return state.crashed | (state.length == self.size**2)

    def action_space(self, params: Any = None) -> spaces.Discrete:
        """Up, right, down, left."""
        return spaces.Discrete(4)

    def observation_space(self, params: Any = None) -> spaces.Box:
        """Shares from 0 to 1."""
        return spaces.Box(0.0, 1.0, (self.size, self.size, 3))

    def describe(self, state: SnakeState, params: Any = None) -> dict[str, jax.Array]:
        """The game in words' worth of numbers; units are in `quantities`."""
        row, column = state.head
        down, right = state.food - state.head
        index = jnp.arange(self.size)
        in_column = (state.life > 0) & (index == column)[None, :]
        in_row = (state.life > 0) & (index == row)[:, None]

        def nearest(line: jax.Array, head: jax.Array) -> tuple[jax.Array, jax.Array]:
            """The last taken place before the head, and the first one after it."""
            before = jnp.where(line & (index < head), index, -1).max()
            after = jnp.where(line & (index > head), index, self.size).min()
            return head - before - 1, after - head - 1

        free_up, free_down = nearest(in_column.any(1), row)
        free_left, free_right = nearest(in_row.any(0), column)
        return {
            "length": state.length,
            "foods_eaten": state.length - self.start_length,
            "head_row": row,
            "head_column": column,
            "direction": state.direction,
            "food_row": state.food[0],
            "food_column": state.food[1],
            "food_below": down,
            "food_right": right,
            "free_up": free_up,
            "free_right": free_right,
            "free_down": free_down,
            "free_left": free_left,
            "crashed": state.crashed,
            "time": state.time,
        }

    def render(
        self, state: SnakeState, params: Any = None, *, height: int = 400, width: int = 400
    ) -> jax.Array:
        """The board in the middle of the picture, uint8 `[height, width, 3]`.

        The snake darkens from head to tail, its cells joined in the order in which they follow;
        the head is red, the food blue.
        """
        at = draw.canvas(height, width)
        image = draw.background(at, (40, 40, 40))
        place = draw.board(height, width, self.size, self.size)
        return draw.to_uint8(draw.paint_cells(image, at, place, self._colors(state), gap=0.12))

    def _colors(self, state: SnakeState) -> jax.Array:
        """Colours of cells and of what lies between them, `[2 size + 1, 2 size + 1, 3]`."""
        life = state.life.astype(jnp.int32)
        # How bright the snake is: 0 off it, else from 0.4 at the tail up to 1.
        bright = jnp.where(life > 0, 0.4 + 0.6 * life / state.length, 0.0)

        def joint(one: Any, other: Any) -> jax.Array:
            """Brightness between two cells: that of the darker one, where they follow."""
            follow = jnp.abs(life[one] - life[other]) == 1
            return jnp.where(follow, jnp.minimum(bright[one], bright[other]), 0.0)

        all_but_first, all_but_last = slice(1, None), slice(None, -1)
        snake = jnp.zeros((2 * self.size + 1, 2 * self.size + 1)).at[1::2, 1::2].set(bright)
        snake = snake.at[2:-1:2, 1::2].set(joint(all_but_first, all_but_last))
        snake = snake.at[1::2, 2:-1:2].set(
            joint((slice(None), all_but_first), (slice(None), all_but_last))
        )
        colors = jnp.full((*snake.shape, 3), 208.0).at[1::2, 1::2].set(228.0)
        for mask, color in (
            (snake > 0, snake[..., None] * jnp.array([90.0, 190.0, 90.0])),
            (_at(2 * state.head + 1, 2 * self.size + 1), jnp.array([210.0, 50.0, 50.0])),
            (_at(2 * state.food + 1, 2 * self.size + 1), jnp.array([50.0, 90.0, 220.0])),
        ):
            colors = jnp.where(mask[..., None], color, colors)
        return colors


def _at(place: jax.Array, size: int) -> jax.Array:
    """Whether each cell is the one at `(row, column)` `[..., 2]`; bool `[..., size, size]`."""
    index = jnp.arange(size)
    rows = index == place[..., 0, None]
    columns = index == place[..., 1, None]
    return rows[..., :, None] & columns[..., None, :]


def _start(size: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Life and head of a straight snake in the middle, heading down."""
    life = np.zeros((size, size), np.int16)
    top = (size - length) // 2
    life[top : top + length, size // 2] = np.arange(1, length + 1)
    return life, np.array([top + length - 1, size // 2], np.int32)
