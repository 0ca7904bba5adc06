# env: CartPole-v1
import numpy as np


def reward(state, action, next_state):
    components = {}
    components["upright"] = np.cos(next_state["pole_angle"])
    components["centre"] = -0.1 * np.square(next_state["cart_position"])
    if abs(next_state["pole_angular_velocity"]) > 2.0:
        components["spin"] = -0.5
    components["centre"] += 0.05
    return sum(components.values()), components
