import jax


def reward(state, action, next_state):
    jax.debug.callback(print, state)
    return 1.0
