import jax.numpy as jnp


def reward(state, action, next_state):
    x = state["pole_angle"]
    for i in range(16):
        x = jnp.stack([x, x])
    return x.sum()
