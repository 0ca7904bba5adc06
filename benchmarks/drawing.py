"""A contestant that draws pictures of an environment's states: ours or Gymnasium's.

    python benchmarks/drawing.py BY ENV

Used by `environments.py`, with `turns.py`. At the size of the original, ours 64 in one call,
Gymnasium's with pygame one after another.
"""

from __future__ import annotations

import inspect
import os
import sys

import jax
import numpy as np
from turns import Contest, serve

import jaxrl
from jaxrl.vector import reset_batch

FRAMES = 64


def ours(name: str) -> Contest:
    """Ours, of as many starts of episodes."""
    env, params = jaxrl.make(name)
    defaults = inspect.signature(env.render).parameters
    height, width = (defaults[side].default for side in ("height", "width"))
    states = reset_batch(env, jax.random.key(0), params, FRAMES)[1]
    draw = jax.jit(jax.vmap(lambda state: env.render(state, params, height=height, width=width)))
    size = {"height": height, "width": width}
    return Contest(lambda: jax.block_until_ready(draw(states)), FRAMES, lambda: size)


def gymnasium(name: str) -> Contest:
    """Gymnasium's, of one start."""
    os.environ |= {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
    import gymnasium

    env = gymnasium.make(name, render_mode="rgb_array")
    env.reset(seed=0)
    height, width, _ = np.asarray(env.render()).shape

    def call() -> None:
        for _ in range(FRAMES):
            env.render()

    return Contest(call, FRAMES, lambda: {"height": height, "width": width})


CONTESTANTS = {"jaxrl": ours, "gymnasium": gymnasium}

if __name__ == "__main__":
    contestant, environment = sys.argv[1:]
    serve(lambda: CONTESTANTS[contestant](environment))
