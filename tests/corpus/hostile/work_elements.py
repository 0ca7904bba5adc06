import numpy as np


def reward(state, action, next_state):
    x = np.array(tuple(range(16))) * state["pole_angle"]
    y = np.outer(x, np.outer(x, x))
    for i in range(16):
        for j in range(16):
            y = np.sin(y)
    return y.sum()
