"""Several numbers of one random word: as uniform and as unrelated as if each had its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrl_envs import words

COUNT = 4


@pytest.fixture(scope="module")
def numbers():
    return np.asarray(words.uniform(jax.random.key(0), (2**18,), COUNT, 0.0, 1.0)).T


def chi_square(cells, number):
    """The chance that uniform cells are at least as uneven."""
    return stats.chisquare(np.bincount(cells, minlength=number)).pvalue


def test_each_is_uniform(numbers):
    assert numbers.min() >= 0 and numbers.max() < 1
    for x in numbers:
        assert stats.kstest(x, "uniform").pvalue > 1e-3
        assert chi_square((x * 4096).astype(int), 4096) > 1e-3
        # The lowest bits that a float32 has, too.
        assert chi_square((x * 2**23).astype(int) % 64, 64) > 1e-3


def test_together_they_fill_the_cube(numbers):
    for a in range(COUNT):
        for b in range(a):
            cells = (numbers[a] * 64).astype(int) * 64 + (numbers[b] * 64).astype(int)
            assert chi_square(cells, 64**2) > 1e-3
    cells = ((numbers * 8).astype(int) * 8 ** np.arange(COUNT)[:, None]).sum(0)
    assert chi_square(cells, 8**COUNT) > 1e-3
    assert np.abs(np.corrcoef(numbers) - np.eye(COUNT)).max() < 4 / np.sqrt(numbers.shape[1])


def test_nearby_words_have_unrelated_numbers():
    scrambled = np.asarray(words.scramble(jnp.arange(2**16, dtype=jnp.uint32)))
    assert len(np.unique(scrambled)) == 2**16
    for bit in range(32):  # every bit that goes in changes half of those that come out
        other = np.asarray(
            words.scramble(jnp.arange(2**16, dtype=jnp.uint32) ^ jnp.uint32(1 << bit))
        )
        flipped = np.unpackbits((scrambled ^ other).view(np.uint8)).reshape(2**16, 32).mean(0)
        np.testing.assert_allclose(flipped, 0.5, atol=0.05)


def test_bounds_and_shape():
    low = words.uniform(jax.random.key(1), (3, 1000), 2, -0.05, 0.05)
    assert low.shape == (3, 1000, 2) and low.dtype == jnp.float32
    assert float(low.min()) >= -0.05 and float(low.max()) < 0.05
    assert not np.array_equal(low[..., 0], low[..., 1])
