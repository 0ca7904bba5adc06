def reward(state, action, next_state):
    return state["pole_angle"] * round(5, -1000000000)
