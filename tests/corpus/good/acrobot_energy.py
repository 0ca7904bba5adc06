# env: Acrobot-v1
import numpy as np


def reward(state, action, next_state):
    kinetic = 0.5 * (next_state["angular_velocity_1"] ** 2 + next_state["angular_velocity_2"] ** 2)
    potential = next_state["tip_height"]
    energy = 0.05 * kinetic + potential
    aligned = np.cos(np.radians(next_state["angle_2_degrees"]))
    return energy + 0.1 * aligned, {"energy": energy, "aligned": aligned}
