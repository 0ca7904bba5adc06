# env: CartPole-v1
import numpy as np


def reward(state, action, next_state):
    speed = np.clip(next_state["cart_velocity"], -1.0, 1.0)
    tilt = np.clip(np.abs(next_state["pole_angle"]), a_min=0.0, a_max=0.5)
    drift = np.minimum(np.abs(next_state["cart_position"]), 1)
    return 1 - tilt - 0.1 * speed**2 - drift * 0.01
