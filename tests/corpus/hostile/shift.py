def reward(state, action, next_state):
    return 1 << 10000000000
