# env: CartPole-v1
import numpy as np


def reward(state, action, next_state):
    position, velocity, angle, degrees, angular_velocity, time = next_state
    r_angle = np.cos(angle)
    r_position = 1 - np.abs(position) / 2.4
    r_velocity = -0.01 * (velocity**2 + angular_velocity**2)
    return r_angle + r_position + r_velocity, {
        "angle": r_angle,
        "position": r_position,
        "velocity": r_velocity,
    }
