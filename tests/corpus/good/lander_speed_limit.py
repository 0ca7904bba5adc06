# env: LunarLander-v3
import math


def allowed_speed(height, slope=0.15, least=0.3):
    return least + slope * max(height, 0.0)


def over(value, limit):
    return max(value - limit, 0.0)


def penalty(value, limit, weight=1.0):
    excess = over(value, limit)
    return -weight * excess * excess


def reward(state, action, next_state):
    falling = penalty(-next_state["y_velocity"], allowed_speed(next_state["height_above_pad"]))
    sideways = penalty(abs(next_state["x_velocity"]), 0.5, weight=0.5)
    upright = math.cos(next_state["angle"])
    return falling + sideways + upright, {
        "falling": falling,
        "sideways": sideways,
        "upright": upright,
    }
