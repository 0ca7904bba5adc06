import numpy as np


def reward(state, action, next_state):
    parts = {"a": 1.0}
    parts[np.array([state["pole_angle"]])] += 1.0
    return 1.0, parts
