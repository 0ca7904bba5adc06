import numpy as np


def reward(state, action, next_state):
    x = np.array([state["pole_angle"]])
    for i in range(16):
        for j in range(16):
            x = x[None, None]
    return x.sum()
