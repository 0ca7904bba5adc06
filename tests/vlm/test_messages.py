"""Pictures as they are sent: what is encoded can be read by others, and is always the same."""

import io

import numpy as np
import pytest
from PIL import Image as Pillow

from jaxrl.vlm.messages import Image


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (64, 96)])
def test_a_frame_comes_back_as_it_was(shape):
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    image = Image.from_array(frame)
    with Pillow.open(io.BytesIO(image.png)) as opened:
        opened.load()  # with its checksums
        assert (opened.format, opened.mode, opened.size) == ("PNG", "RGB", shape[::-1])
    np.testing.assert_array_equal(image.to_array(), frame)
    turned = np.ascontiguousarray(frame[:, ::-1])[:, ::-1]  # the same, but not in one piece
    assert Image.from_array(turned).digest == image.digest


def test_few_colours_take_few_bytes():
    frame = np.full((200, 300, 3), 255, np.uint8)
    frame[150:160, 100:140] = 0
    assert len(Image.from_array(frame).png) < 2000


@pytest.mark.parametrize(
    "frame", [np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_frame_is_refused(frame):
    with pytest.raises(ValueError, match=r"a frame is uint8 \[H, W, 3\]"):
        Image.from_array(frame)
