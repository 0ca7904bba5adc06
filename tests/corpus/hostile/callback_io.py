from jax.experimental import io_callback


def reward(state, action, next_state):
    return io_callback(print, None, 1.0)
