import numpy as np


def reward(state, action, next_state):
    return np.arange(100000000).sum()
