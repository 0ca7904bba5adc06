import numpy as np


def reward(state, action, next_state):
    return np.load("canary.npy", allow_pickle=True)
