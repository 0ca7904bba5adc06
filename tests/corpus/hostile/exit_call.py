def reward(state, action, next_state):
    exit()
    return 1.0
