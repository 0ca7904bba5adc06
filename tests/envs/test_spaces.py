"""Our spaces: samples lie inside, and the attributes are gymnax's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_envs.spaces import Box, Discrete


def samples(space, n=2000):
    return np.asarray(jax.vmap(space.sample)(jax.random.split(jax.random.key(0), n)))


def test_discrete_samples_every_element_equally():
    drawn = samples(Discrete(3))
    assert drawn.dtype == np.int32
    counts = np.bincount(drawn, minlength=3)
    assert counts.sum() == 2000 and counts.min() > 570  # 667 ± 21


@pytest.mark.parametrize(("x", "inside"), [(0, True), (2, True), (3, False), (-1, False)])
def test_discrete_contains(x, inside):
    assert bool(Discrete(3).contains(x)) == inside


def test_discrete_does_not_contain_fractions():
    assert bool(Discrete(3).contains(1.0)) and not bool(Discrete(3).contains(0.5))


def test_discrete_needs_an_element():
    with pytest.raises(ValueError, match=r"n=0.*at least one element"):
        Discrete(0)


def test_box_samples_fill_the_bounds():
    box = Box(np.array([-1.0, 2.0]), np.array([1.0, 6.0]))
    drawn = samples(box)
    assert drawn.shape == (2000, 2) and drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.min(0), [-1, 2], atol=0.02)
    np.testing.assert_allclose(drawn.max(0), [1, 6], atol=0.02)
    assert all(bool(box.contains(x)) for x in drawn[:20])
    assert not bool(box.contains(jnp.array([0.0, 6.1])))


def test_integer_box_includes_both_bounds():
    drawn = samples(Box(0, 255, (40,), jnp.uint8), 200)
    assert drawn.dtype == np.uint8 and (drawn.min(), drawn.max()) == (0, 255)


def test_box_takes_its_shape_from_the_bounds_or_broadcasts_them():
    assert Box(np.zeros(3), 1.0).shape == (3,)
    assert Box(-1.0, 1.0, (2, 2)).shape == (2, 2)


@pytest.mark.parametrize("high", [np.inf, np.finfo(np.float32).max])
def test_an_unbounded_box_is_not_sampled(high):
    with pytest.raises(ValueError, match="unbounded"):
        Box(-high, high, (2,)).sample(jax.random.key(0))


def test_bounds_the_wrong_way_round():
    with pytest.raises(ValueError, match=r"low=1\.0 lies above high=-1\.0"):
        Box(1.0, -1.0)


def test_bounds_may_be_traced():
    def draw(high):
        return Box(0.0, high, (2,)).sample(jax.random.key(0))

    small, large = jax.vmap(draw)(jnp.array([1.0, 10.0]))
    np.testing.assert_allclose(large, 10 * small, rtol=1e-6)


def test_attributes_are_gymnaxs():
    theirs = pytest.importorskip("gymnax").environments.spaces
    pairs = ((Discrete(4), theirs.Discrete(4)), (Box(0, 1, (2,)), theirs.Box(0, 1, (2,))))
    for ours, other in pairs:
        assert set(vars(ours)) == set(vars(other))
        assert ours.shape == other.shape and jnp.dtype(ours.dtype) == jnp.dtype(other.dtype)
