def reward(state, action, next_state):
    return sum([state["pole_angle"]] * 1000000000)
