import numpy as np


def reward(state, action, next_state):
    x = np.outer(np.array(tuple(range(16))), state["pole_angle"] * np.array(tuple(range(16))))
    y = np.outer(x.ravel()[:64], x.ravel()[:64])
    for i in range(16):
        for j in range(16):
            y = np.tanh(y @ y)
    return y.sum()
