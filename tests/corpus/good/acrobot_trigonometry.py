# env: Acrobot-v1
import math


def reward(state, action, next_state):
    a, b = next_state["angle_1"], next_state["angle_2"]
    tip = -math.cos(a) - math.cos(a + b)
    progress = next_state["tip_height"] - state["tip_height"]
    direction = math.copysign(1.0, next_state["angular_velocity_1"])
    pumps = (action - 1) * direction
    return tip + 0.5 * progress + 0.01 * pumps, {"tip": tip, "pumps": pumps}
