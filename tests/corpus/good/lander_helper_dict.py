# env: LunarLander-v3
def terms(s):
    parts = {"height": -0.1 * s["height_above_pad"], "tilt": -abs(s["angle"])}
    parts["spin"] = -0.2 * abs(s["angular_velocity"])
    return parts


def reward(state, action, next_state):
    parts = terms(next_state)
    total = 0.0
    for name, value in parts.items():
        total += value
    return total, parts
