import numpy as np


def reward(state, action, next_state):
    return np.einsum("i,j,k,l,m,n->ijklmn", *[np.array([1.0, 2.0])] * 6).sum()
