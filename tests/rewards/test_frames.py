"""Which frames are drawn and shown: all that count, in order, in the smallest buffer that fits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.rewards.frames import Drawing, _sizes, show

DRAWING = Drawing(lambda s: jnp.full((2, 3, 3), s, jnp.uint8), lambda s: {"shade": s})


@pytest.mark.parametrize("total", [1, 3, 11])
def test_every_frame_that_counts_is_shown_once_and_no_other(total):
    shown = []

    def host(rows, count, frames, quantities):
        shown.append((np.array(rows), int(count), np.array(frames), np.array(quantities["shade"])))
        return np.float32(7)

    @jax.jit
    def ask(valid):
        states = 10 + jnp.arange(total).reshape(total, 1)
        return show(DRAWING, states, valid, host, jax.ShapeDtypeStruct((), jnp.float32))

    for number in range(total + 1):
        valid = np.random.default_rng(number).permutation(total) < number
        answer = float(ask(valid))
        if not number:
            assert answer == 0 and shown == []
            continue
        (rows, count, frames, shades) = shown.pop()
        assert answer == 7 and count == number and shown == []
        assert len(frames) == next(size for size in _sizes(total) if size >= number)
        np.testing.assert_array_equal(rows[:count], np.flatnonzero(valid))
        np.testing.assert_array_equal(shades[:count, 0], 10 + rows[:count])
        np.testing.assert_array_equal(frames[:count, 0, 0, 0, 0], 10 + rows[:count])
        assert (frames[:count] == frames[:count, :, :1, :1, :1]).all()


def test_buffers_grow_until_one_holds_all():
    assert [_sizes(n) for n in (1, 7, 8, 9, 64, 600)] == [
        [1], [7], [8], [8, 9], [8, 64], [8, 64, 512, 600]
    ]  # fmt: skip
