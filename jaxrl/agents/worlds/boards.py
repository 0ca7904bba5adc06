"""Snake and MinAtar's Breakout, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from jaxrl.agents.actions import Actions, Choice
from jaxrl.agents.worlds import Ending, Mark, Quantities, World
from jaxrl.types import Array

_WAYS = ("up", "right", "down", "left")


def _cell(label: str, row: float, column: float, side: int, height: int, width: int) -> Mark:
    """The middle of a cell of a square board that is as large as fits, in the frame's middle."""
    cell = min(height, width) / side
    left, top = (width - side * cell) / 2, (height - side * cell) / 2
    return Mark(label, left + (column + 0.5) * cell, top + (row + 0.5) * cell)


def _snake_heuristic(q: Quantities) -> Array:
    """The safe way that leads nearest to the food; where none is safe, the roomiest.

    Against the direction of travel there is no way. Between ways that are as good, the one with
    more room: a snake that hugs itself traps itself.
    """
    free = jnp.stack([jnp.asarray(q[f"free_{way}"]) for way in _WAYS], -1)
    down, right = jnp.asarray(q["food_below"]), jnp.asarray(q["food_right"])
    gain = jnp.stack([-down, right, down, -right], -1)
    back = (jnp.asarray(q["direction"])[..., None] + 2) % 4 == jnp.arange(4)
    score = jnp.where(gain > 0, 100.0, 0.0) + jnp.minimum(free, 20)
    score = jnp.where((free == 0) | back, -1000.0, score)
    return jnp.argmax(score, -1).astype(jnp.int32)


def _snake_measure(state: Any, params: Any) -> dict[str, Array]:
    """Where the tail is, seen from the head."""
    del params
    tail = jnp.stack(jnp.unravel_index(jnp.argmax(state.life == 1), state.life.shape))
    below, right = tail - state.head
    return {"tail_below": below, "tail_right": right, "board_side": jnp.int32(state.life.shape[0])}


def _away(below: float, right: float) -> str:
    """`2 cells below and 1 cell to the left`."""
    parts = []
    for cells, one, other in ((below, "down", "up"), (right, "to the right", "to the left")):
        if cells:
            unit = "cell" if abs(cells) == 1 else "cells"
            parts.append(f"{abs(cells):.0f} {unit} {one if cells > 0 else other}")
    return " and ".join(parts) or "right here"


def _snake_facts(q: Mapping[str, float]) -> list[str]:
    heading = int(q["direction"])
    lines = [
        f"You head {_WAYS[heading]}; going {_WAYS[(heading + 2) % 4]} is ignored.",
        f"The food is {_away(q['food_below'], q['food_right'])}, seen from your head."
        if q["food_row"] >= 0
        else "There is no food left.",
        f"Your tail is {_away(q['tail_below'], q['tail_right'])}, seen from your head.",
    ]
    for number, way in enumerate(_WAYS):
        if (number - heading) % 4 != 2:
            free = int(q[f"free_{way}"])
            cells = "1 free cell" if free == 1 else f"{free} free cells"
            safe = cells if free else "blocked, you would crash"
            lines.append(f"Going {way}: {safe}.")
    return lines


def _snake_objects(q: Mapping[str, float], height: int, width: int) -> list[Mark]:
    side, row, column = int(q["board_side"]), q["head_row"], q["head_column"]
    marks = [_cell("head", row, column, side, height, width)]
    tail = (row + q["tail_below"], column + q["tail_right"])
    marks.append(_cell("tail", *tail, side, height, width))
    if q["food_row"] >= 0:
        marks.append(_cell("food", q["food_row"], q["food_column"], side, height, width))
    return marks


def _snake_outcome(end: Ending) -> str:
    if not end.terminated:
        return "out of time"
    return "crashed" if end.last["crashed"] else "filled the board"


SNAKE = World(
    name="snake",
    needs=("head_row", "head_column", "direction", "food_below", "food_right", "free_up", "length"),
    goal=(
        "Steer a snake on a square board. Eat as much food as you can: each makes you one cell "
        "longer. Hitting a wall or your own body ends the game."
    ),
    actions=Actions(
        tuple(Choice(way, f"the head moves one cell {way}", (f"go {way}",)) for way in _WAYS)
    ),
    idle="down",
    outcomes=("crashed", "filled the board", "out of time"),
    outcome=_snake_outcome,
    scores={
        "length": lambda end: end.last["length"],
        "food": lambda end: end.last["foods_eaten"],
    },
    facts=_snake_facts,
    heuristic=_snake_heuristic,
    objects=_snake_objects,
    measure=_snake_measure,
    cells=lambda q: int(q["board_side"]),
)

PADDLE_ROW, LAST_COLUMN = 9, 9


def _landing(q: Quantities) -> Array:
    """The column in which a falling ball reaches the paddle's row, off the walls as a mirror.

    A rising ball is expected where it is: by the time it falls it will be known better.
    """
    rows = PADDLE_ROW - jnp.asarray(q["ball_row"])
    column = jnp.asarray(q["ball_column"]) + rows * jnp.asarray(q["ball_moves_right"])
    # A wall costs a step: the ball stays in the last column and only turns round.
    mirrored = jnp.where(column < 0, -1 - column, column)
    mirrored = jnp.where(mirrored > LAST_COLUMN, 2 * LAST_COLUMN + 1 - mirrored, mirrored)
    return jnp.where(jnp.asarray(q["ball_moves_down"]) > 0, mirrored, q["ball_column"])


def _breakout_heuristic(q: Quantities) -> Array:
    away = _landing(q) - jnp.asarray(q["paddle_column"])
    return jnp.where(away < 0, 1, jnp.where(away > 0, 2, 0))


def _breakout_facts(q: Mapping[str, float]) -> list[str]:
    off = q["ball_right_of_paddle"]
    where = f"{_away(0, off)} of" if off else "straight above"
    way = "falls" if q["ball_moves_down"] > 0 else "rises"
    across = "right" if q["ball_moves_right"] > 0 else "left"
    lines = [f"The ball is {where} your paddle; it {way} and moves {across}."]
    if q["ball_moves_down"] > 0:
        lines.append(
            f"Unless it meets a brick it lands in column {int(_landing(q))} in "
            f"{PADDLE_ROW - q['ball_row']:.0f} steps; your paddle is in column "
            f"{q['paddle_column']:.0f}."
        )
    return lines


def _breakout_objects(q: Mapping[str, float], height: int, width: int) -> list[Mark]:
    return [
        _cell("paddle", PADDLE_ROW, q["paddle_column"], 10, height, width),
        _cell("ball", q["ball_row"], q["ball_column"], 10, height, width),
    ]


_PADDLE = Actions(
    (
        Choice("stay", "the paddle stays where it is", ("nothing", "do nothing", "no-op")),
        Choice("left", "the paddle moves one cell to the left", ("move left", "go left")),
        Choice("right", "the paddle moves one cell to the right", ("move right", "go right")),
    )
)

BREAKOUT = World(
    name="Breakout",
    needs=("paddle_column", "ball_row", "ball_column", "ball_moves_down", "ball_moves_right"),
    goal=(
        "Move a paddle along the bottom row of a board of 10 by 10 cells, so that the ball bounces "
        "off it and breaks the bricks above. Each brick is a point. The game ends when the ball "
        "passes the paddle. The ball moves one cell diagonally in each step."
    ),
    actions=_PADDLE,
    idle="stay",
    outcomes=("lost the ball", "out of time"),
    outcome=lambda end: "lost the ball" if end.terminated else "out of time",
    scores={"bricks": lambda end: end.total},
    facts=_breakout_facts,
    heuristic=_breakout_heuristic,
    objects=_breakout_objects,
    cells=lambda q: 10,
)
