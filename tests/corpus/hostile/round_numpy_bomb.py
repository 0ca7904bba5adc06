import numpy as np


def reward(state, action, next_state):
    return np.round(state["pole_angle"], 1000000000)
