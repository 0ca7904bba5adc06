def reward(state, action, next_state):
    return state.get("pole_angle", 1.0)
