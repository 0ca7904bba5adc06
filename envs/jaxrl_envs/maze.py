"""RobotMaze-v0: a robot in a maze, until it finds the exit or its battery runs out.

The example by which lecture notes explain the policy gradient. The reward comes at the end, and
only if the exit was found; every step before it gives nothing, so that whatever learns has to find
out by itself which of some hundred moves mattered.

Mazes are perfect: every room can be reached from every other, in exactly one way. They are carved
by a random depth-first walk (the "recursive backtracker"), which makes long winding corridors, and
are drawn anew for every episode unless `maze_seed` names one. Drawing a maze costs much more than
a step. A CPU draws only those that are needed, some at a time. On an accelerator each lane draws
one in every step: train with `reset="pooled"` there, or on one maze. On a CPU that is faster too,
if less so.

The battery is the time limit, and it is the robot's own: it is part of what is seen, and an empty
one terminates. A limit that the robot could not see would truncate instead.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxrl_envs import base, draw, spaces

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""`(row, column)` of the actions up, right, down, left; rows are counted from the top."""

UP, RIGHT, DOWN, LEFT, FIRST, UNSEEN = range(6)
"""How the carving walk entered a room: by which move, as the first one, or not yet."""

STAY = (0, 0)

MAX_SIZE = 101
"""Largest maze, cells a side."""

COLORS = {"wall": (60, 60, 70), "floor": (236, 232, 220), "exit": (70, 170, 90)}


@struct.dataclass
class MazeState(base.EnvState):
    """Maze and robot.

    Attributes:
        walls: bool `[size, size]`.
        robot: row and column, int32 `[2]`.
    """

    walls: jax.Array
    robot: jax.Array


@struct.dataclass
class MazeParams(base.EnvParams):
    """What the exit pays; `max_steps_in_episode` is how many moves a full battery lasts."""

    exit_reward: float = 1.0
    max_steps_in_episode: int = 121


class RobotMaze(base.Environment):
    """RobotMaze-v0. Actions 0 up, 1 right, 2 down, 3 left; inside `jit` others are clamped.

    A move into a wall costs battery and leads nowhere. The robot starts in the upper left corner,
    the exit is in the lower right one. A battery lasts `size²` moves by default, which is more
    than twice the longest way that any maze of that size can have.

    Args:
        size: cells a side, walls included; odd, 5 to 101.
        view: `full`, the maze from above; or `local`, what lies within `radius` cells of the
            robot, which is the notes' robot without a map, and leaves it to memory where it was.
        radius: of the local view, at least 1.
        maze_seed: carve this one maze for all episodes, instead of a new one for each.
    """

    quantities: ClassVar[dict[str, tuple[str, str]]] = {
        "robot_row": ("cells", "row of the robot, 0 at the top"),
        "robot_column": ("cells", "column of the robot, 0 at the left"),
        "exit_below": ("cells", "how far the exit lies below the robot"),
        "exit_right": ("cells", "how far the exit lies right of the robot"),
        "open_up": ("bool", "whether the robot can move up"),
        "open_right": ("bool", "whether the robot can move right"),
        "open_down": ("bool", "whether the robot can move down"),
        "open_left": ("bool", "whether the robot can move left"),
        "battery": ("steps", "moves that the battery still allows"),
        "at_exit": ("bool", "whether the robot has found the exit"),
        "time": ("steps", "steps since the episode began"),
    }

    def __init__(
        self,
        size: int = 11,
        view: Literal["full", "local"] = "full",
        radius: int = 2,
        maze_seed: int | None = None,
    ) -> None:
        """A maze; raises ValueError for a size, a view, a radius or a seed that cannot be."""
        self.size = base.check_whole("size", size, 5, MAX_SIZE)
        if self.size % 2 == 0:
            raise ValueError(
                f"size={size}: rooms and walls alternate, so that a maze has an odd number of "
                f"cells a side: type size={self.size + 1}."
            )
        if view not in ("full", "local"):
            raise ValueError(f"view={view!r}: needed is 'full' or 'local'.")
        self.view, self.radius = view, base.check_whole("radius", radius, 1)
        # A key keeps 32 bits of its seed: a larger one would be another's maze again.
        self.maze_seed = (
            None if maze_seed is None else base.check_whole("maze_seed", maze_seed, 0, 2**32 - 1)
        )
        self._exit = np.array([self.size - 2] * 2, np.int32)

    @property
    def name(self) -> str:
        """The name under which it is registered."""
        return "RobotMaze-v0"

    @property
    def default_params(self) -> MazeParams:
        """A battery of `size²` moves."""
        return MazeParams(max_steps_in_episode=self.size**2)

    def step_env(
        self, key: jax.Array, state: MazeState, action: Any, params: MazeParams
    ) -> tuple[jax.Array, MazeState, jax.Array, jax.Array, dict[str, Any]]:
        """One move. A state that had terminated before stays as it is and gives reward 0.

        Raises:
            ValueError: outside `jit`, an action that is none.
        """
        self.check_action(action)
        del key
        over = self.is_terminated(state, params)
        action = jnp.clip(jnp.asarray(action, jnp.int32), 0, 3)
        robot = state.robot + jnp.array(MOVES)[action]
        blocked = over | _value_at(state.walls, robot)
        robot = jnp.where(blocked, state.robot, robot)
        state = state.replace(time=state.time + 1, robot=robot)
        found = self._at_exit(state) & ~over
        reward = jnp.where(found, params.exit_reward, 0.0).astype(jnp.float32)
        return self.get_obs(state, params), state, reward, self.is_terminated(state, params), {}

    def reset_env(self, key: jax.Array, params: MazeParams) -> tuple[jax.Array, MazeState]:
        """A maze, the robot in its upper left corner."""
        obs, state = self.reset_batch(key, params, 1)
        return jax.tree.map(lambda x: x[0], (obs, state))

    def reset_batch(
        self, key: jax.Array, params: MazeParams, num_envs: int
    ) -> tuple[jax.Array, MazeState]:
        """The same for `num_envs` lanes, of one draw."""

        def start(walls: jax.Array) -> tuple[jax.Array, MazeState]:
            state = MazeState(jnp.int32(0), walls, jnp.array([1, 1], jnp.int32))
            return self.get_obs(state, params), state

        return jax.vmap(start)(self._mazes(key, num_envs))

    def _mazes(self, key: jax.Array, count: int) -> jax.Array:
        """Walls, bool `[count, size, size]`."""
        if self.maze_seed is not None:
            return jnp.broadcast_to(self._one_maze, (count, self.size, self.size))
        luck = jax.random.uniform(key, (count, *luck_shape(self.size)))
        return jax.vmap(carve, (0, None))(luck, self.size)

    @functools.cached_property
    def _one_maze(self) -> np.ndarray:
        with jax.ensure_compile_time_eval():  # now, also where a reset is being traced
            luck = jax.random.uniform(jax.random.key(self.maze_seed), luck_shape(self.size))
            return np.asarray(jax.jit(carve, static_argnums=1)(luck, self.size))

    def get_obs(
        self, state: MazeState, params: MazeParams | None = None, key: jax.Array | None = None
    ) -> jax.Array:
        """`[height, width, 3 or 4]` float32: walls, exit, battery, and in the full view the robot.

        The local view has the robot in its middle. The battery is the share that is left, the
        same everywhere. What lies outside the maze is wall.
        """
        params = params or self.default_params
        walls = state.walls.astype(jnp.float32)
        at_exit = _one(self._exit, self.size)
        left = self._battery(state, params) / params.max_steps_in_episode
        battery = jnp.full((self.size, self.size), left, jnp.float32)
        if self.view == "full":
            robot = _one(state.robot, self.size)
            return jnp.stack([walls, at_exit, battery, robot], axis=-1)
        planes = jnp.stack([1 - walls, at_exit, battery], axis=-1)
        around = [(self.radius, self.radius)] * 2 + [(0, 0)]
        side = 2 * self.radius + 1
        start = (state.robot[0], state.robot[1], 0)
        near = jax.lax.dynamic_slice(jnp.pad(planes, around), start, (side, side, 3))
        return near.at[..., 0].set(1 - near[..., 0]).at[..., 2].set(left)

    def is_terminated(self, state: MazeState, params: MazeParams) -> jax.Array:
        """The robot is at the exit, or its battery is empty."""
        return self._at_exit(state) | (state.time >= params.max_steps_in_episode)

    def is_truncated(self, state: MazeState, params: MazeParams) -> jax.Array:
        """Never: the battery is part of the maze, not a limit from outside."""
        return jnp.zeros(jnp.shape(state.time), jnp.bool_)

    def _at_exit(self, state: MazeState) -> jax.Array:
        return (state.robot == self._exit).all(-1)

    def _battery(self, state: MazeState, params: MazeParams) -> jax.Array:
        return jnp.maximum(params.max_steps_in_episode - state.time, 0)

    def action_space(self, params: Any = None) -> spaces.Discrete:
        """Up, right, down, left."""
        return spaces.Discrete(4)

    def observation_space(self, params: Any = None) -> spaces.Box:
        """Shares from 0 to 1."""
        side = self.size if self.view == "full" else 2 * self.radius + 1
        return spaces.Box(0.0, 1.0, (side, side, 4 if self.view == "full" else 3))

    def describe(self, state: MazeState, params: MazeParams) -> dict[str, jax.Array]:
        """The state in words' worth of numbers; units are in `quantities`."""
        down, right = self._exit - state.robot
        ways = {
            f"open_{name}": ~_value_at(state.walls, state.robot + jnp.array(move))
            for name, move in zip(("up", "right", "down", "left"), MOVES, strict=True)
        }
        return {
            "robot_row": state.robot[0],
            "robot_column": state.robot[1],
            "exit_below": down,
            "exit_right": right,
            **ways,
            "battery": self._battery(state, params),
            "at_exit": self._at_exit(state),
            "time": state.time,
        }

    def render(
        self, state: MazeState, params: MazeParams, *, height: int = 400, width: int = 400
    ) -> jax.Array:
        """The maze from above, uint8 `[height, width, 3]`.

        Green is the exit, the blue disc the robot, and the bar in the upper wall what is left of
        its battery.
        """
        at = draw.canvas(height, width)
        place = draw.board(height, width, self.size, self.size)
        wall, floor, exit_color = (jnp.array(color, jnp.float32) for color in COLORS.values())
        colors = jnp.where(state.walls[..., None], wall, floor)
        colors = jnp.where(_one(self._exit, self.size)[..., None] > 0, exit_color, colors)
        image = draw.paint_cells(draw.background(at, COLORS["wall"]), at, place, colors)

        row, column = state.robot
        x = place.left + (column + 0.5) * place.cell
        y = place.top - (row + 0.5) * place.cell
        robot = draw.disc(at, jnp.stack([x, y]), 0.36 * place.cell)
        image = draw.paint(image, draw.coverage(robot), (50, 90, 210))

        left = self._battery(state, params) / params.max_steps_in_episode
        start, room = place.left + place.cell, (self.size - 2) * place.cell
        upper, lower = place.top - 0.3 * place.cell, place.top - 0.7 * place.cell
        bar = draw.rectangle(at, start, lower, start + left * room, upper)
        return draw.to_uint8(draw.paint(image, draw.coverage(bar), (240, 190, 60)))


def luck_shape(size: int) -> tuple[int, int]:
    """The shape of the random numbers that `carve` takes."""
    rooms = ((size - 1) // 2) ** 2
    return 1 + 2 * (rooms - 1), 4


def carve(luck: jax.Array, size: int) -> jax.Array:
    """A perfect maze: walls, bool `[size, size]`, rooms at odd rows and columns.

    A depth-first walk over the rooms, from any of them: on to a room not seen yet, chosen at
    random among the neighbours, knocking down the wall between; back the way it came where there
    is none. Every passage is gone through once each way at most, which bounds the walk.

    Args:
        luck: uniform in [0, 1), of `luck_shape(size)`: where to begin, then at each step what
            each direction is worth.
        size: cells a side.
    """
    side = (size - 1) // 2
    wide = side + 2  # a rim of rooms that count as seen, so that nobody asks where the maze ends
    steps = jnp.array([row * wide + column for row, column in (*MOVES, STAY)])
    room = (luck[0, 0] * side * side).astype(jnp.int32)
    first = (room // side + 1) * wide + room % side + 1

    def step(i: Any, walk: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        here, entered = walk
        near = here + steps[:4]
        fresh = entered[near] == UNSEEN
        way = jnp.argmax(jnp.where(fresh, luck[1 + i], -1.0)).astype(jnp.int32)
        onward = fresh.any()
        to = jnp.where(onward, near[way], here - steps[entered[here]])
        return to, entered.at[to].set(jnp.where(onward, way, entered[to]))

    rim = jnp.full((wide, wide), FIRST, jnp.int32).at[1:-1, 1:-1].set(UNSEEN).ravel()
    start = (first, rim.at[first].set(FIRST))
    entered = jax.lax.fori_loop(0, luck.shape[0] - 1, step, start)[1].reshape(wide, wide)[
        1:-1, 1:-1
    ]

    walls = jnp.ones((size, size), jnp.bool_).at[1::2, 1::2].set(False)
    # There is a passage where one of two neighbours was entered from the other.
    below = (entered[1:] == DOWN) | (entered[:-1] == UP)
    beside = (entered[:, 1:] == RIGHT) | (entered[:, :-1] == LEFT)
    return walls.at[2:-1:2, 1::2].set(~below).at[1::2, 2:-1:2].set(~beside)


def _one(place: jax.Array, size: int) -> jax.Array:
    """1 at `(row, column)`, else 0; float32 `[size, size]`."""
    index = jnp.arange(size)
    here = (index == place[0])[:, None] & (index == place[1])[None, :]
    return here.astype(jnp.float32)


def _value_at(walls: jax.Array, place: jax.Array) -> jax.Array:
    """Whether there is a wall at `(row, column)`."""
    return (walls & (_one(place, walls.shape[0]) > 0)).any()
