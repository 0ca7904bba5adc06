"""Several random numbers of one random word, for starts that are drawn for every lane and step.

A word of threefry costs as much as half a step of a cheap environment, and a start of an episode
needs several numbers. Where starts are drawn for every lane and thrown away for most of them, one
word a start is enough: an integer hash makes the numbers of it. That gives 2^32 different starts.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

STRIDE = 0x9E3779B9
"""2^32 divided by the golden ratio: far from each other, whatever the word (Weyl's sequence)."""


def scramble(word: jax.Array) -> jax.Array:
    """A bijection of uint32 words of which every bit depends on every bit that goes in.

    Wellons, "Prospecting for hash functions" (https://nullprogram.com/blog/2018/07/31/), the one
    of lowest bias.
    """
    word = (word ^ (word >> 16)) * jnp.uint32(0x7FEB352D)
    word = (word ^ (word >> 15)) * jnp.uint32(0x846CA68B)
    return word ^ (word >> 16)


def uniform(
    key: jax.Array, shape: tuple[int, ...], count: int, minval: float, maxval: float
) -> tuple[jax.Array, ...]:
    """`count` arrays float32 `shape`, uniform in `[minval, maxval)`, of one word an element."""
    word = jax.random.bits(key, shape, jnp.uint32)

    def number(index: int) -> jax.Array:
        bits = scramble(word + jnp.uint32(index * STRIDE % 2**32))
        # The 23 bits of a float between 1 and 2, as `jax.random.uniform` has it.
        unit = jax.lax.bitcast_convert_type((bits >> 9) | jnp.uint32(0x3F800000), jnp.float32) - 1
        return unit * (maxval - minval) + minval

    return tuple(number(index) for index in range(count))
