# env: MountainCar-v0
import numpy as np


def reward(state, action, next_state):
    along = np.sign(state["velocity"]) * (action - 1)
    if next_state["time"] > 150 and next_state["position"] < 0:
        late = -0.5
    else:
        late = 0.0
    return 0.1 * along + late + np.power(np.abs(next_state["velocity"]), 0.5), {"along": along}
