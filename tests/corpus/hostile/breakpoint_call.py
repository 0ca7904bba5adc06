def reward(state, action, next_state):
    breakpoint()
    return 1.0
