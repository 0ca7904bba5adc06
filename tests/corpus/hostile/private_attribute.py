def reward(state, action, next_state):
    return state._values["pole_angle"]
