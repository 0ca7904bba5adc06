from math import sin as f
from math import cos as f


def reward(state, action, next_state):
    return f(state["pole_angle"])
