# env: LunarLander-v3
def reward(state, action, next_state):
    if next_state.crashed:
        return -100.0, {"crash": -100.0}
    if next_state.at_rest and next_state.over_pad:
        return 100.0, {"landed": 100.0}
    descent = -abs(next_state.y_velocity + 0.3)
    drift = -abs(next_state.x) * 0.2
    return descent + drift, {"descent": descent, "drift": drift}
