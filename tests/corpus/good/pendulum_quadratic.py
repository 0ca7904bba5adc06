# env: Pendulum-v1
import numpy as np


def reward(state, action, next_state):
    torque = np.clip(action[0], -2.0, 2.0)
    cost = next_state["angle"] ** 2 + 0.1 * next_state["angular_velocity"] ** 2 + 0.001 * torque**2
    return -cost, {"cost": -cost}
