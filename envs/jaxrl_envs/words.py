"""Several random numbers of one random word, for starts that are drawn for every lane and step.

Where starts of episodes are drawn for every lane and step and mostly thrown away, threefry's words
are what they cost: four a start are half of what a step of CartPole takes. One is enough, of which
an integer hash makes the numbers. That gives 2^32 different starts.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

STRIDE = 0x9E3779B9
"""2^32 divided by the golden ratio: far from each other, whatever the word (Weyl's sequence)."""


def scramble(word: jax.Array) -> jax.Array:
    """A bijection of uint32 words of which every bit depends on every bit that goes in.

    Wellons's `lowbias32`: "Prospecting for hash functions",
    https://nullprogram.com/blog/2018/07/31/.
    """
    word = (word ^ (word >> 16)) * jnp.uint32(0x7FEB352D)
    word = (word ^ (word >> 15)) * jnp.uint32(0x846CA68B)
    return word ^ (word >> 16)


def uniform(
    key: jax.Array, shape: tuple[int, ...], count: int, minval: float, maxval: float
) -> jax.Array:
    """Numbers `[*shape, count]`, uniform in `[minval, maxval)` up to rounding, of a word a row.

    Their type is jax's default float; 23 of their bits are drawn.
    """
    word = jax.random.bits(key, shape, jnp.uint32)

    def number(index: int) -> jax.Array:
        bits = scramble(word + jnp.uint32(index * STRIDE % 2**32))
        # The 23 bits of a float between 1 and 2, as `jax.random.uniform` has it.
        unit = jax.lax.bitcast_convert_type((bits >> 9) | jnp.uint32(0x3F800000), jnp.float32) - 1
        return unit.astype(jnp.result_type(float)) * (maxval - minval) + minval

    # One array, made once. Without the barrier XLA keeps the word and each number apart, and laid
    # out a large update of PPO on CartPole worse around them: by a sixth of its time.
    numbers = jnp.stack([number(index) for index in range(count)], axis=-1)
    return jax.lax.optimization_barrier(numbers)
