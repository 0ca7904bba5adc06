"""The replay against a Python deque, by hand, and in memory."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl import replay as module
from jaxrl.errors import ConfigError
from jaxrl.types import LateLabels, Transition

B, GAMMA = 2, 0.9
SIZES = [(5, 1, 4), (11, 5, 3), (9, 2, None)]
"""(capacity, chunk, time limit)"""

write = jax.jit(module.write)
relabel = jax.jit(module.relabel)
gather = jax.jit(module.gather, static_argnums=4)


class Model:
    """The same buffer as a deque of dictionaries per lane, each with its own `next_obs`."""

    def __init__(self, capacity):
        self.lanes = [deque(maxlen=capacity) for _ in range(B)]

    def push(self, row, lane, **fields):
        self.lanes[lane].append(dict(row=row, **fields))

    def relabel(self, row, lane, reward):
        for entry in self.lanes[lane]:
            if entry["row"] == row:
                entry.update(reward=reward, labelled=True)

    def window(self, index, lane, n):
        """`(reward, discount, next_obs, labelled, rows)` of the n-step window, by a loop."""
        entries = list(self.lanes[lane])
        total, labelled, k = 0.0, True, 0
        for k in range(n):
            entry = entries[index + k]
            total += GAMMA**k * entry["reward"]
            labelled &= entry["labelled"]
            if entry["terminated"] or entry["truncated"]:
                break
        entry = entries[index + k]
        discount = 0.0 if entry["terminated"] else GAMMA ** (k + 1)
        return total, discount, entry, labelled


def random_chunk(rng, chunk, obs, age, limit):
    """A chunk of a lane-wise walk; every observation is a number of its own."""
    shape = (chunk, B)
    fields = dict(
        reward=rng.normal(size=shape).astype(np.float32),
        action=rng.integers(0, 5, shape),
        terminated=rng.random(shape) < 0.15,
        truncated=np.zeros(shape, bool),
        labelled=rng.random(shape) < 0.8,
        obs=np.zeros((*shape, 1), np.float32),
        next_obs=rng.normal(size=(*shape, 1)).astype(np.float32),
    )
    for t in range(chunk):
        fields["obs"][t] = obs
        age += 1
        # Now and then both at once: a termination it is.
        fields["truncated"][t] = age == limit if limit else rng.random(B) < 0.05
        ended = fields["terminated"][t] | fields["truncated"][t]
        age[ended] = 0
        fresh = rng.normal(size=(B, 1)).astype(np.float32)
        obs = np.where(ended[:, None], fresh, fields["next_obs"][t])
    return Transition(extras=None, record=None, **fields), obs, age


@settings(max_examples=25)
@given(st.sampled_from(SIZES), st.integers(0, 10**6), st.integers(1, 12), st.sampled_from([1, 3]))
def test_is_a_deque(sizes, seed, pushes, n):
    """Random pushes past the wrap, ends of both kinds, late labels; every window that begins."""
    capacity, chunk, limit = sizes
    rng = np.random.default_rng(seed)
    layout = module.layout_for(capacity, chunk, jnp.float32, time_limit=limit)
    obs, age = rng.normal(size=(B, 1)).astype(np.float32), np.zeros(B, int)
    action = jax.ShapeDtypeStruct((B,), jnp.uint8)
    ours, model = module.empty(layout, jnp.asarray(obs), action), Model(capacity)
    for push in range(pushes):
        trajectory, obs, age = random_chunk(rng, chunk, obs, age, limit)
        ours = write(ours, jax.tree.map(jnp.asarray, trajectory), jnp.asarray(obs))
        for t in range(chunk):
            for lane in range(B):
                fields = {
                    name: getattr(trajectory, name)[t, lane]
                    for name in trajectory._fields
                    if name not in ("extras", "record", "valid", "late")
                }
                model.push(push * chunk + t, lane, **fields)
        # Rows that are stored, that are not any more, and that are not yet.
        rows = rng.integers(-2, (push + 2) * chunk, 4)
        late = LateLabels(rows, rng.integers(0, B, 4), np.arange(4.0) + push, rng.random(4) < 0.7)
        # Of two labels for one row either may stay; here there is one.
        late = LateLabels(*(x[np.unique(rows, return_index=True)[1]] for x in late))
        late = LateLabels(*(np.resize(x, 4) for x in late))
        ours = relabel(ours, *map(jnp.asarray, late))
        for row, lane, reward, ok in zip(*late, strict=True):
            if ok:
                model.relabel(row, lane, reward)
    check_windows(ours, model, n)


def check_windows(ours, model, n):
    stored, written = int(ours.stored), int(ours.written)
    assert stored == len(model.lanes[0])
    if stored < n:
        return
    starts = [(i, lane) for i in range(stored - n + 1) for lane in range(B)]
    # Padded to one length, so that they are one program.
    padded = np.resize(np.array(starts), (ours.layout.capacity * B, 2))
    row, lane = jnp.asarray(written - stored + padded[:, 0]), jnp.asarray(padded[:, 1])
    got = jax.tree.map(np.asarray, gather(ours, row, lane, GAMMA, n))
    block = ours.layout.block * ours.layout.chunks_per_slot
    for at, (i, lane) in enumerate(starts):
        entry = list(model.lanes[lane])[i]
        reward, discount, last, labelled = model.window(i, lane, n)
        np.testing.assert_array_equal(got.obs[at], entry["obs"])
        assert got.action[at] == entry["action"]
        assert got.reward[at] == pytest.approx(reward, abs=1e-5)
        assert got.discount[at] == pytest.approx(discount, abs=1e-6)
        cut = last["truncated"] and not last["terminated"]
        if got.weight[at]:
            assert labelled
            if not last["terminated"]:
                np.testing.assert_array_equal(got.next_obs[at], last["next_obs"])
        elif labelled:
            # Only a final observation can be gone: one about to leave, or where ends are dense.
            assert cut
            others = [e["row"] for e in model.lanes[lane] if e["truncated"]]
            dense = any(0 < abs(last["row"] - other) < block for other in others)
            assert dense or last["row"] < written - stored + block


def test_a_final_observation_is_kept_for_its_own_row_alone():
    """Two truncations within one block: the earlier is masked, and never given the later's."""
    layout = module.layout_for(8, 4, jnp.float32)
    buffer = module.empty(layout, jnp.zeros((1, 1)), jax.ShapeDtypeStruct((1,), jnp.uint8))
    flags = jnp.array([[True], [False], [True], [False]])
    trajectory = Transition(
        obs=jnp.arange(4.0)[:, None, None],
        action=jnp.zeros((4, 1), jnp.int32),
        reward=jnp.ones((4, 1)),
        terminated=jnp.zeros((4, 1), bool),
        truncated=flags,
        next_obs=10 + jnp.arange(4.0)[:, None, None],
        extras=None,
        record=None,
    )
    buffer = write(buffer, trajectory, jnp.full((1, 1), 4.0))
    got = gather(buffer, jnp.arange(4), jnp.zeros(4, jnp.int32), GAMMA, 1)
    np.testing.assert_array_equal(got.weight, [0, 1, 1, 1])
    np.testing.assert_array_equal(got.next_obs[1:, 0], [2, 12, 4])
    # A window of two from row 1 ends in the truncation at row 2; from row 2 it stops at once.
    got = gather(buffer, jnp.arange(1, 3), jnp.zeros(2, jnp.int32), GAMMA, 2)
    np.testing.assert_array_equal(got.next_obs[:, 0], [12, 12])
    np.testing.assert_allclose(got.reward, [1.9, 1.0])
    np.testing.assert_allclose(got.discount, [0.81, 0.9])


def test_samples_uniformly_what_can_begin_a_window():
    layout = module.layout_for(6, 2, jnp.float32)
    buffer = module.empty(layout, jnp.zeros((B, 1)), jax.ShapeDtypeStruct((B,), jnp.uint8))
    number = jnp.arange(10.0)[:, None] * B + jnp.arange(B)
    for i in range(0, 10, 2):
        rows = number[i : i + 2]
        flags = jnp.zeros((2, B), bool)
        trajectory = Transition(
            rows[..., None], rows.astype(int), rows, flags, flags, rows[..., None], None, None
        )
        buffer = write(buffer, trajectory, number[min(i + 2, 9)][:, None])

    @jax.jit
    def sample(key):
        return module.gather(buffer, *module.draw(buffer, key, (4000,), 2), GAMMA, 2)

    drawn = sample(jax.random.key(0))
    which, counts = np.unique(np.asarray(drawn.obs), return_counts=True)
    # Rows 4 … 9 are stored; the last one begins no window of two.
    np.testing.assert_array_equal(which, np.arange(8, 18))
    assert ((counts > 320) & (counts < 480)).all()


def test_observations_are_stored_in_their_type_and_come_back_in_it():
    layout = module.layout_for(4, 1, jnp.float32, stored_as="bool")
    buffer = module.empty(layout, jnp.ones((1, 3)), jax.ShapeDtypeStruct((1,), jnp.uint8))
    assert buffer.later_obs.dtype == bool and buffer.final_obs.dtype == bool
    got = gather(buffer, jnp.array([0]), jnp.array([0]), GAMMA, 1)
    assert got.obs.dtype == jnp.float32
    np.testing.assert_array_equal(got.obs, jnp.ones((1, 3)))


def test_bytes_are_known_before_anything_is_allocated():
    """A million MinAtar boards: 400 bytes each and a little, where two float32 ones take 3,200."""

    def build():
        layout = module.layout_for(10**6, 1, jnp.float32, stored_as="bool")
        board = jnp.zeros((1, 10, 10, 4))
        return module.empty(layout, board, jax.ShapeDtypeStruct((1,), jnp.uint8))

    shapes = jax.eval_shape(build)
    size = module.num_bytes(shapes)
    assert 400e6 < size < 425e6
    assert module.check_fits(shapes, 2, None) == module.check_fits(shapes, 2, 2 * size) == 2 * size
    with pytest.raises(ConfigError, match="largest that fits is buffer_size=") as error:
        module.check_fits(shapes, 4, 10**9)
    named = int(str(error.value).split("buffer_size=")[2].split(",")[0])
    assert 4 * module._num_bytes_with(shapes, named) <= 10**9
    assert 4 * module._num_bytes_with(shapes, named + 2) > 10**9
    assert module._num_bytes_with(shapes, 10**6) == size
