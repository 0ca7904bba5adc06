# env: Acrobot-v1
def reward(state, action, next_state):
    height = next_state["tip_height"]
    if height > 1.0:
        return 10.0, {"goal": 10.0, "height": height}
    return height - 1.0, {"goal": 0.0, "height": height}
