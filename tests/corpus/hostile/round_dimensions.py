def reward(state, action, next_state):
    return round(state["pole_angle"], -999999999)
