# env: LunarLander-v3
import numpy as np


def reward(state, action, next_state):
    def shaping(s):
        return (
            -10.0 * np.sqrt(s["x"] ** 2 + s["y"] ** 2)
            - 10.0 * np.sqrt(s["x_velocity"] ** 2 + s["y_velocity"] ** 2)
            - 10.0 * abs(s["angle"])
            + 1.0 * s["left_leg_contact"]
            + 1.0 * s["right_leg_contact"]
        )

    progress = shaping(next_state) - shaping(state)
    fuel = -0.3 * next_state["main_engine"] - 0.03 * (
        next_state["left_engine"] + next_state["right_engine"]
    )
    return progress + fuel, {"progress": progress, "fuel": fuel}
