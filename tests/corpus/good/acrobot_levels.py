# env: Acrobot-v1
def reward(state, action, next_state):
    levels = [-1.5, -1.0, -0.5, 0.0, 0.5, 1.0]
    reached = 0.0
    for i, level in enumerate(levels):
        reached += (i + 1) * 0.1 if next_state["tip_height"] > level else 0.0
    return reached - 0.01, {"reached": reached}
