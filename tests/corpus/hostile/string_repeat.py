def reward(state, action, next_state):
    return 1.0, {"a" * 1000000000: 1.0}
