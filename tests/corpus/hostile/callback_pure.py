import jax


def reward(state, action, next_state):
    return jax.pure_callback(print, 1.0, state)
