def reward(state, action, next_state):
    rеward = 1.0
    return rеward
