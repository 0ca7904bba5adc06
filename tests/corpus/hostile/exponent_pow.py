def reward(state, action, next_state):
    return pow(10, 100000000)
