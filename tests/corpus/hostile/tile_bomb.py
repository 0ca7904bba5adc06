import numpy as np


def reward(state, action, next_state):
    return np.tile(state["pole_angle"], 100000000).sum()
