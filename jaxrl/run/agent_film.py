"""A film of an agent's first episode, with what the model said under the frames."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl.agents.deciding import Decision
from jaxrl.agents.lockstep import Played
from jaxrl.errors import missing_extra
from jaxrl.run.video import draw_states, stack_states, write_video

MAX_FRAMES = 300
"""Frames of a film; a longer episode is thinned."""


def write_film(
    played: Played, env: Any, env_params: Any, path: Path, *, fps: float = 15.0, width: int = 450
) -> Path:
    """The first episode as a GIF or video, with what the model said under the frames."""
    count, height = len(played.filmed), round(width / 1.5)
    rows = np.arange(0, count, max(1, math.ceil(count / MAX_FRAMES)))
    states = stack_states(played.filmed)
    frames = draw_states(env, states, env_params, rows, height=height, width=width)
    decisions = [decision for decision in played.decisions if decision.lane == 0]
    times = np.array([decision.time for decision in decisions])
    # The frame at time t shows what was decided in it; the last one what led to it.
    at = np.searchsorted(times, np.minimum(rows, count - 2), side="right") - 1
    captions = {int(i): caption(decisions[i], width) for i in set(at)}
    film = np.stack(
        [np.concatenate([frame, captions[int(i)]]) for frame, i in zip(frames, at, strict=True)]
    )
    return write_video(film, path, fps)


def caption(decision: Decision, width: int, height: int = 96) -> np.ndarray:
    """The action and the end of what was said, as a picture `[height, width, 3]`."""
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise missing_extra("pillow", "video", "words under frames") from error
    image = Image.new("RGB", (width, height), (20, 20, 20))
    pen = ImageDraw.Draw(image)
    action = decision.action.splitlines()[0]
    pen.text((6, 4), f"step {decision.time}: {_plain(action)}", fill=(255, 220, 90))
    words = " ".join(decision.said[-1].split())
    lines = textwrap.wrap(_plain(words), max(10, width // 6 - 2)) or [""]
    for number, line in enumerate(lines[-5:]):
        pen.text((6, 20 + 14 * number), line, fill=(235, 235, 235))
    return np.asarray(image)


def _plain(text: str) -> str:
    """What Pillow's own font can draw; the page has the text as it was."""
    return text.encode("latin-1", "replace").decode("latin-1")
