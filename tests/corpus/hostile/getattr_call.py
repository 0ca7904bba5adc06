def reward(state, action, next_state):
    return getattr(state, "pole_angle")
