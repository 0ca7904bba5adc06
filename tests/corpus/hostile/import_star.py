from numpy import *


def reward(state, action, next_state):
    return save("canary", state)
