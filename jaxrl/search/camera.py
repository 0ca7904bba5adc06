"""Pictures of rollouts that were played already: screenshots for authors, films for readers."""

from __future__ import annotations

from functools import partial
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.environment import supports_render
from jaxrl.search.reflect import SHOT_SHARES, shot_rows
from jaxrl.search.task import Task
from jaxrl.types import Trajectory

HEIGHT, WIDTH = 200, 300
"""Pixels of a picture."""
FILM_FRAMES = 60
"""Frames of a film; longer rollouts are thinned."""
FILM_FPS = 12.0


class Camera:
    """Draws states of rollouts; one program for pictures of every kind.

    Attributes:
        works: whether the environment can be drawn at all.
    """

    def __init__(self, task: Task) -> None:
        """Nothing is compiled yet."""
        self.works = supports_render(task.env)
        self.params = task.params
        if self.works:
            render = partial(task.env.render, height=HEIGHT, width=WIDTH)
            self._draw: Any = jax.jit(jax.vmap(render, (0, None)))

    def shots(self, played: Trajectory, lane: int) -> np.ndarray:
        """Screenshots of a lane's first rollout, uint8 `[5, H, W, 3]`, from start to end."""
        return self._frames(played, lane, shot_rows(self._length(played, lane)))

    def film(self, played: Trajectory, lane: int) -> np.ndarray:
        """Frames of a lane's first rollout, uint8 `[F, H, W, 3]`."""
        length = self._length(played, lane)
        rows = np.linspace(0, length, min(FILM_FRAMES, length + 1)).round().astype(int)
        return self._frames(played, lane, rows.tolist())

    def _length(self, played: Trajectory, lane: int) -> int:
        assert played.valid is not None  # whole episodes
        return int(np.asarray(played.valid[lane, :, 0]).sum())

    def _frames(self, played: Trajectory, lane: int, rows: list[int]) -> np.ndarray:
        """The states at `rows`, 0 being the start, drawn a few at a time."""
        previous, reached = jax.tree.map(
            lambda x: x[lane, :, 0], (played.record.previous, played.record.state)
        )
        states = jax.tree.map(lambda s, x: jnp.concatenate([s[:1], x]), previous, reached)
        at_once = len(SHOT_SHARES)
        padded = [*rows, *[rows[-1]] * (-len(rows) % at_once)]
        chosen = jax.tree.map(lambda x: x[np.array(padded)], states)
        drawn = []
        for first in range(0, len(padded), at_once):
            chunk = jax.tree.map(itemgetter(slice(first, first + at_once)), chosen)
            drawn.append(np.asarray(self._draw(chunk, self.params)))
        return np.concatenate(drawn)[: len(rows)]
