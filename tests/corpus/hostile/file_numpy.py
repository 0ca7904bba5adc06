import numpy as np


def reward(state, action, next_state):
    np.save("canary", state["pole_angle"])
    return 1.0
