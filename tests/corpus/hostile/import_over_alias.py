from math import sin as np


def reward(state, action, next_state):
    return np(state["pole_angle"])
