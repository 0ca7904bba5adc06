"""Sees a snake on a board: a red head, a green body that darkens towards its tail, a blue food.

How many cells the board has is read off how large the head and the food are drawn.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrl.vlm.captioner import pixels
from jaxrl.vlm.captioner.boards import Board

HEAD_FULL, FOOD_FULL, BODY_FULL = 160.0, 130.0, 100.0
FLOOR = 228.0
CELL_SHARE = 0.88
"""Side of a cell as it is drawn, as a share of the distance from cell to cell."""
MOVES = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
"""Row and column of a step in each direction."""


@dataclasses.dataclass(frozen=True)
class SnakeFacts:
    """What a picture of a snake shows. Rows and columns count from 0 at the upper left.

    Attributes:
        size: cells a side of the board.
        head: row and column of the head.
        food: row and column of the food; None where there is none.
        heading: where the head came from its neck to: "up", "right", "down" or "left"; None
            without a neck.
        length: cells of the snake, the head included.
        free: in each direction, free cells from the head to the body or the wall.
        body: where the snake is, bool `[size, size]`.
    """

    size: int
    head: tuple[int, int]
    food: tuple[int, int] | None
    heading: str | None
    length: int
    free: dict[str, int]
    body: np.ndarray = dataclasses.field(repr=False, compare=False)


def see(frame: np.ndarray) -> SnakeFacts | None:
    """Head, food and body of a picture, uint8 `[H, W, 3]`; None where there is no snake."""
    red, green, blue = pixels.channels(frame)
    # Each is zero, or below, on greys and in the others' colours.
    head = pixels.cover(red - blue, HEAD_FULL)
    food = pixels.cover(blue - green, FOOD_FULL)
    body = pixels.cover(green - blue, BODY_FULL)
    if head.sum() < 1 or not _is_board(frame):
        return None
    side = min(frame.shape[:2])
    # A head hides behind nothing but pixels that it shares with the food, and those are few.
    cell = np.sqrt(head.sum()) / CELL_SHARE
    size = round(side / cell)
    if not 3 <= size <= 100 or abs(side / cell - size) > 0.2 + 0.02 * size:
        return None
    board = Board(frame, size)
    at = board.nearest(head)
    # A tail is 0.4 times as green as a head would be, and floor is not green at all.
    snake = board.means(body, 0.5) > 0.2
    snake[at] = True
    heading = _heading(board, body, snake, at)
    return SnakeFacts(
        size=size,
        head=at,
        food=board.nearest(food) if food.sum() > 0.5 else None,
        heading=heading,
        length=int(snake.sum()),
        free={name: _free(snake, at, step) for name, step in MOVES.items()},
        body=snake,
    )


def _is_board(frame: np.ndarray) -> bool:
    """Whether most of the middle of the picture is a light grey floor, or green."""
    height, width = frame.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    red, green, blue = pixels.channels(pixels.coarse(frame[top : top + side, left : left + side]))
    grey = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue) < 12
    floor = grey & (np.abs(red - FLOOR) < 24)
    snake = (green - red > 20) & (green - blue > 20)
    return bool((floor | snake).mean() > 0.7)


def _heading(
    board: Board, body: np.ndarray, snake: np.ndarray, head: tuple[int, int]
) -> str | None:
    """Away from the neck: of the neighbours, the one that is joined to the head by green.

    From the middle of a neighbour to that of the head it is green for half a cell, and on through
    the gap if they are joined, as bright as the neighbour is.
    """
    most, heading = -np.inf, None
    brightness = board.means(body, 0.5)
    for name, (down, right) in MOVES.items():
        neck = head[0] - down, head[1] - right
        if not (min(neck) >= 0 and max(neck) < board.size and snake[neck]):
            continue
        joined = board.from_middle_to_middle(body, neck, head) / brightness[neck]
        if joined > most:
            most, heading = joined, name
    return heading


def _free(snake: np.ndarray, head: tuple[int, int], step: tuple[int, int]) -> int:
    """Free cells from the head in a direction."""
    row, column = head[0] + step[0], head[1] + step[1]
    count = 0
    while min(row, column) >= 0 and max(row, column) < len(snake) and not snake[row, column]:
        row, column, count = row + step[0], column + step[1], count + 1
    return count
