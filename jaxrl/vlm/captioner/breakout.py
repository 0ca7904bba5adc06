"""Sees a game of MinAtar's Breakout: green paddle, white ball, its grey trail, orange bricks."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrl.vlm.captioner.boards import Board

SIZE = 10
COLORS = {
    "floor": (24, 26, 36),
    "paddle": (92, 205, 110),
    "ball": (235, 235, 235),
    "trail": (120, 130, 150),
    "brick": (222, 120, 70),
}
FAR = 30.0
"""Greatest distance from a cell's colour to the one that it is taken for."""


@dataclasses.dataclass(frozen=True)
class BreakoutFacts:
    """What a picture of Breakout shows. Rows and columns count from 0 at the upper left.

    Attributes:
        paddle: column of the paddle, which is in the lowest row.
        ball: row and column of the ball.
        trail: where the ball was a step ago; None where that is not to be seen.
        bricks: bricks that are left.
    """

    paddle: int
    ball: tuple[int, int]
    trail: tuple[int, int] | None
    bricks: int

    @property
    def moving(self) -> tuple[str, str] | None:
        """Where the ball is going, such as ("down", "left"); None where nothing tells."""
        if self.trail is None or self.trail == self.ball:
            return None
        down, right = self.ball[0] - self.trail[0], self.ball[1] - self.trail[1]
        if not down or not right:
            return None
        return "down" if down > 0 else "up", "right" if right > 0 else "left"


def see(frame: np.ndarray) -> BreakoutFacts | None:
    """Paddle, ball and bricks of a picture, uint8 `[H, W, 3]`; None where it is no Breakout."""
    board = Board(frame, SIZE)
    cells = np.stack([board.means(frame[..., i].astype(float), 0.6) for i in range(3)], axis=-1)
    known = np.array(list(COLORS.values()), float)
    distance = np.abs(cells[:, :, None] - known).max(-1)
    if distance.min(-1).max() > FAR:
        return None
    names = np.array(list(COLORS))[distance.argmin(-1)]
    paddle, ball, trail, brick = (np.argwhere(names == name) for name in list(COLORS)[1:])
    if len(paddle) != 1 or len(ball) != 1 or len(trail) > 1 or paddle[0, 0] != SIZE - 1:
        return None
    return BreakoutFacts(
        paddle=int(paddle[0, 1]),
        ball=(int(ball[0, 0]), int(ball[0, 1])),
        trail=(int(trail[0, 0]), int(trail[0, 1])) if len(trail) else None,
        bricks=len(brick),
    )
