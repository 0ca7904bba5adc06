import jax.numpy as jnp


def reward(state, action, next_state):
    x = jnp.array([state["pole_angle"]] )
    for i in range(12):
        x = jnp.concatenate([x, x])
    x = jnp.outer(x, x).ravel()
    return x.sum()
