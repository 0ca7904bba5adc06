import jax.numpy as jnp


def reward(state, action, next_state):
    x = jnp.array([state["pole_angle"]])
    for i in range(16):
        x = jnp.concatenate([x, x])
    for i in range(16):
        x = jnp.concatenate([x, x])
    return x.sum()
