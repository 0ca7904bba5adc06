"""Films of a policy: episodes stepped and drawn on the device, written as GIF or video."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.environment import episode_limit, supports_render
from jaxrl.errors import ConfigError, JaxrlError, check_range, missing_extra
from jaxrl.evaluation import evaluation_key
from jaxrl.records import TrainResult
from jaxrl.run.notebook import display_image, in_notebook
from jaxrl.types import Algorithm, EnvParams, Key, PyTree
from jaxrl.vector import reset_batch, step_batch
from jaxrl_envs.draw import MIN_SIZE

FRAMES_AT_ONCE = 64
"""Frames drawn in one call: 64 of 400 × 600 are 46 MB."""


def rollout_frames(
    algorithm: Algorithm | Any,
    state: Any,
    env_params: EnvParams | None = None,
    *,
    seed: int = 0,
    greedy: bool = True,
    max_steps: int | None = None,
    max_frames: int = 300,
    height: int = 400,
    width: int = 600,
) -> np.ndarray:
    """Plays one episode and draws it.

    Args:
        algorithm: whose `act` is played, in `algorithm.env`; or a policy on the host, with a
            `play` of its own.
        state: the train or policy state of one seed (no leading axis); None on the host.
        env_params: default the environment's own.
        seed: start state and randomness.
        greedy: play the policy's mode instead of sampling.
        max_steps: default the environment's time limit.
        max_frames: an episode of more is thinned to every 2nd, 3rd, … frame.
        height, width: of a frame, in pixels.

    Returns:
        uint8 `[frames, height, width, 3]`, the start included.

    Raises:
        JaxrlError: the environment has no `render`.
        ConfigError: no frames asked for, or too small ones.
    """
    check_range("max_frames", max_frames, 1)
    check_range("height", height, MIN_SIZE)
    check_range("width", width, MIN_SIZE)
    env = algorithm.env
    if not supports_render(env):
        raise JaxrlError(
            f"{env.name} cannot be drawn: it has no render(state, params, *, height, width)."
        )
    env_params = env.default_params if env_params is None else env_params
    limit = episode_limit(env, env_params, max_steps, "max_steps")

    if hasattr(algorithm, "play"):
        played = algorithm.play(
            env_params, evaluation_key(seed), num_episodes=1, max_steps=limit, film=True
        )
        states, count = stack_states(played.filmed), len(played.filmed)
    else:
        play = jax.jit(partial(_play, algorithm, limit=limit, greedy=greedy))
        states, count = play(state, env_params, evaluation_key(seed))
    rows = np.arange(0, int(count), max(1, math.ceil(int(count) / max_frames)))
    return draw_states(env, states, env_params, rows, height=height, width=width)


def stack_states(states: Sequence[PyTree]) -> PyTree:
    """The states of an episode, one after another, as one tree with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def draw_states(
    env: Any, states: PyTree, env_params: EnvParams, rows: np.ndarray, *, height: int, width: int
) -> np.ndarray:
    """Frames uint8 `[len(rows), height, width, 3]` of those rows of `states` `[T, ...]`."""
    # The draw is compiled for one size of batch; rows are repeated to fill the last one.
    padded = np.resize(rows, math.ceil(len(rows) / FRAMES_AT_ONCE) * FRAMES_AT_ONCE)
    draw = jax.jit(jax.vmap(partial(env.render, height=height, width=width), (0, None)))
    frames = [
        np.asarray(draw(jax.tree.map(itemgetter(chunk), states), env_params))
        for chunk in padded.reshape(-1, FRAMES_AT_ONCE)
    ]
    return np.concatenate(frames)[: len(rows)]


def _play(
    algorithm: Algorithm, state: Any, env_params: EnvParams, key: Key, *, limit: int, greedy: bool
) -> tuple[PyTree, jax.Array]:
    """The states `[limit + 1]` of one episode, and how many of them belong to it."""
    env = algorithm.env
    key, key_reset = jax.random.split(key)
    obs, start = reset_batch(env, key_reset, env_params, 1)

    def step(carry: Any, key: Key) -> tuple[Any, PyTree]:
        obs, env_state, running, length = carry
        key_act, key_step = jax.random.split(key)
        action = algorithm.act(state, obs, key_act, greedy=greedy)
        next_obs, next_state, _, terminated, truncated = step_batch(
            env, key_step, env_state, action, env_params
        )
        running_next = running & ~terminated & ~truncated
        return (next_obs, next_state, running_next, length + running), next_state

    carry = (obs, start, jnp.ones(1, bool), jnp.zeros(1, jnp.int32))
    (_, _, _, length), states = jax.lax.scan(step, carry, jax.random.split(key, limit))
    # Of the one lane, with the start in front.
    states = jax.tree.map(lambda s, x: jnp.concatenate([s, x[:, 0]]), start, states)
    return states, length[0] + 1


def write_video(frames: np.ndarray, path: str | Path, fps: float = 50.0) -> Path:
    """Writes frames uint8 `[F, H, W, 3]` as `.gif` or `.mp4`.

    A GIF counts in hundredths of a second, so that 50 frames a second is the most it can do.

    Raises:
        ConfigError: another suffix, no frames, or none a second.
        MissingExtraError: Pillow or imageio is not installed.
    """
    path = Path(path)
    check_range("fps", fps, 0, open_low=True)
    if len(frames) == 0:
        raise ConfigError("no frames to write.")
    if path.suffix not in (".gif", ".mp4"):
        raise ConfigError(f"{path.name}: videos are written as .gif or .mp4; give such a name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gif":
        _write_gif(frames, path, fps)
    else:
        _write_mp4(frames, path, fps)
    return path


def show(result: TrainResult, path: str | Path | None = None) -> Path | None:
    """Shows an episode of the first seed's policy.

    Args:
        result: what `train` returned.
        path: where to write the film; default a new temporary file.

    Returns:
        The file's path, which is also printed; in a notebook None, because it has shown the film
        and would show whatever is returned as well.
    """
    state = jax.tree.map(lambda x: x[0], result.state)
    frames = rollout_frames(
        result.info.algorithm, state, result.info.env_params, height=200, width=300
    )
    if path is None:
        path = Path(tempfile.mkdtemp(prefix="jaxrl-")) / "rollout.gif"
    written = write_video(frames, path)
    if in_notebook() and written.suffix == ".gif":
        display_image(written.read_bytes())
        return None
    print(f"an episode of the policy: {written}")
    return written


def _write_gif(frames: np.ndarray, path: Path, fps: float) -> None:
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_extra("pillow", "video", "writing a GIF") from error
    images = [Image.fromarray(frame).quantize(64) for frame in frames]
    hundredths = max(2, round(100 / fps))
    images[0].save(path, save_all=True, append_images=images[1:], duration=10 * hundredths, loop=0)


def _write_mp4(frames: np.ndarray, path: Path, fps: float) -> None:
    try:
        import imageio.v2 as imageio
        import imageio_ffmpeg  # noqa: F401  # imageio's own message does not name it
    except ImportError as error:
        raise missing_extra("imageio-ffmpeg", "video", "writing an MP4") from error
    # Without this it forks to shield ffmpeg from Ctrl-C; a fork under jax's threads may hang.
    os.environ.setdefault("IMAGEIO_FFMPEG_NO_PREVENT_SIGINT", "1")
    # h264 wants even sides.
    even = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
    with imageio.get_writer(path, fps=fps, codec="libx264", macro_block_size=2) as writer:
        for frame in even:
            writer.append_data(frame)
