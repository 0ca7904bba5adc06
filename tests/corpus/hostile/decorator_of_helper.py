import jax


def reward(state, action, next_state):
    @jax.jit
    def helper(x):
        return x

    return helper(1.0)
