"""Films: one whole episode, drawn on the device, written in what was asked for."""

import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from jaxrl.errors import ConfigError, JaxrlError, MissingExtraError
from jaxrl.run import video
from jaxrl.run.video import rollout_frames, show, write_video


@struct.dataclass
class Params:
    length: int = 5
    max_steps_in_episode: int = 100


@struct.dataclass
class State:
    time: jax.Array


class Counter:
    """Ends after `length` steps; every frame is as bright as the step's number."""

    name = "Counter"
    default_params = Params()

    def reset_env(self, key, params):
        return jnp.zeros(1), State(jnp.int32(0))

    def step_env(self, key, state, action, params):
        state = State(state.time + action)
        return state.time[None].astype(float), state, 0.0, state.time >= params.length, {}

    def is_truncated(self, state, params):
        return state.time >= params.max_steps_in_episode

    def render(self, state, params, *, height=16, width=24):
        return jnp.full((height, width, 3), state.time, jnp.uint8)


class Blind(Counter):
    name = "Blind"
    render = None


def act(state, obs, key, *, greedy=False):
    # What is played can be seen in the frames: greedily the state's step, sampled always 2.
    return jnp.full(obs.shape[:-1], jnp.where(greedy, state, 2), jnp.int32)


def algorithm(env=None):
    return SimpleNamespace(env=env or Counter(), act=act, name="ppo")


def brightness(frames):
    assert (frames == frames[:, :1, :1, :1]).all()
    return frames[:, 0, 0, 0].tolist()


def test_one_episode_from_start_to_end():
    frames = rollout_frames(algorithm(), jnp.int32(1), height=16, width=24)
    assert frames.dtype == np.uint8 and frames.shape == (6, 16, 24, 3)
    assert brightness(frames) == [0, 1, 2, 3, 4, 5]  # nothing after the end


def test_time_limit_and_max_steps_end_it():
    limited = Params(length=99, max_steps_in_episode=3)
    small = {"height": 16, "width": 16}
    frames = rollout_frames(algorithm(), jnp.int32(1), limited, **small)
    assert brightness(frames) == [0, 1, 2, 3]
    frames = rollout_frames(algorithm(), jnp.int32(1), max_steps=2, **small)
    assert brightness(frames) == [0, 1, 2]


def test_greedy_or_sampled():
    frames = rollout_frames(algorithm(), jnp.int32(1), greedy=False, height=16, width=16)
    assert brightness(frames) == [0, 2, 4, 6]


def test_long_episodes_are_thinned_and_drawn_in_chunks(monkeypatch):
    monkeypatch.setattr(video, "FRAMES_AT_ONCE", 4)
    params = Params(length=30)
    frames = rollout_frames(algorithm(), jnp.int32(1), params, max_frames=11, height=16, width=16)
    assert brightness(frames) == list(range(0, 31, 3))


@pytest.mark.parametrize("size", [dict(height=15), dict(width=2)])
def test_a_picture_too_small_is_refused(size):
    with pytest.raises(ConfigError, match=r"(height=15|width=2) is out of range: .*\[16"):
        rollout_frames(algorithm(), jnp.int32(1), **size)


def test_environment_without_render():
    with pytest.raises(JaxrlError, match="Blind cannot be drawn"):
        rollout_frames(algorithm(Blind()), jnp.int32(1))


def test_policy_on_cartpole(small_ppo, cartpole):
    state = small_ppo.init(jax.random.key(0), cartpole[1], 1)
    frames = rollout_frames(small_ppo, state, cartpole[1], max_steps=20, height=40, width=60)
    assert frames.shape[1:] == (40, 60, 3) and 5 < len(frames) <= 21
    assert (frames[0] != frames[-1]).any()  # the pole has moved


@pytest.fixture
def frames():
    """Moving stripes: no frame like the one before."""
    image = np.arange(21 * 31 * 3, dtype=np.uint8).reshape(21, 31, 3)
    return np.stack([np.roll(image, 3 * i, axis=1) for i in range(8)])


@pytest.mark.parametrize(("fps", "milliseconds"), [(50, 20), (10, 100), (200, 20), (24, 40)])
def test_gif_has_the_frames_and_loops(frames, tmp_path, fps, milliseconds):
    from PIL import Image

    path = write_video(frames, tmp_path / "made" / "film.gif", fps)
    with Image.open(path) as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (8, (31, 21), 0)
        assert film.info["duration"] == milliseconds


def test_mp4_can_be_read_back(frames, tmp_path):
    import imageio_ffmpeg

    jax.devices()  # once jax runs, a fork is a warning, and warnings are errors here
    path = write_video(frames, tmp_path / "film.mp4", 25)
    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert (count, seconds) == (8, pytest.approx(8 / 25, abs=0.01))
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert "h264" in told and "30x20" in told and "25 fps" in told  # even sides


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"path": "film.avi"}, "film.avi.*gif or .mp4"),
        ({"fps": 0}, "fps=0"),
        ({"frames": np.zeros((0, 2, 2, 3), np.uint8)}, "no frames"),
    ],
)
def test_what_cannot_be_written(frames, tmp_path, arguments, words):
    given = {"frames": frames, "path": "film.gif", "fps": 50} | arguments
    with pytest.raises(ConfigError, match=words):
        write_video(given["frames"], tmp_path / given["path"], given["fps"])
    assert list(tmp_path.iterdir()) == []


def test_no_frames_asked_for():
    with pytest.raises(ConfigError, match="max_frames=0"):
        rollout_frames(algorithm(), jnp.int32(1), max_frames=0)


@pytest.mark.parametrize(("package", "suffix"), [("PIL", "gif"), ("imageio_ffmpeg", "mp4")])
def test_missing_package_names_its_extra(frames, tmp_path, monkeypatch, package, suffix):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"jaxrl\[video\]"):
        write_video(frames, tmp_path / f"film.{suffix}")


@pytest.fixture
def result():
    """A result of two seeds, of which the first is shown: it steps by 1, the other by 5."""
    info = SimpleNamespace(algorithm=algorithm(), env_params=Params())
    return SimpleNamespace(info=info, state=jnp.array([1, 5]))


def test_show_writes_a_file_and_says_where(result, tmp_path, capsys):
    from PIL import Image

    path = tmp_path / "film.gif"
    assert show(result, path) == path
    assert str(path) in capsys.readouterr().out
    with Image.open(path) as film:
        assert film.n_frames == 6  # of the first seed


def test_show_displays_once_in_a_notebook(result, tmp_path, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(video, "in_notebook", lambda: True)
    monkeypatch.setattr(video, "display_image", shown.append)
    assert show(result, tmp_path / "film.gif") is None  # a value would be displayed again
    assert len(shown) == 1 and shown[0].startswith(b"GIF89a")
    assert capsys.readouterr().out == ""
