import numpy as np


def reward(state, action, next_state):
    x = np.outer((1.0, 2.0), (state["pole_angle"], 1.0))
    return np.linalg.norm(x, ord=2, axis=(0, 1))
