import jax.numpy as jnp


def reward(state, action, next_state):
    x = jnp.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    y = x[:, None, None, None, None] * x[None, :, None, None, None] * x[None, None, :, None, None]
    return (y * x[:, None] * x).sum()
