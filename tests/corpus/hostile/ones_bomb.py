import jax.numpy as jnp


def reward(state, action, next_state):
    return jnp.ones(100000000).sum()
