def reward(state, action, next_state):
    np = state
    return np["pole_angle"]
