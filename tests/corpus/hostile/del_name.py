def reward(state, action, next_state):
    del state
    return 1.0
