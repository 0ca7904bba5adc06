# env: CartPole-v1
import numpy as np


def gaussian(value, centre=0.0, width=1.0):
    return np.exp(-((value - centre) ** 2) / (2 * width**2))


def reward(state, action, next_state):
    upright = gaussian(next_state["pole_angle"], width=0.1)
    still = gaussian(next_state["cart_velocity"])
    return 2 * upright + still, {"upright": upright, "still": still}
