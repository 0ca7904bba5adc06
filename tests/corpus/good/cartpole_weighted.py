# env: CartPole-v1
import numpy as np


def reward(state, action, next_state):
    errors = np.array([next_state["pole_angle"], next_state["cart_position"]])
    weights = np.array([5.0, 1.0])
    cost = np.sum(weights * errors**2)
    distance = np.linalg.norm(errors)
    return float(-cost - 0.1 * distance), {"cost": -cost, "distance": -distance}
