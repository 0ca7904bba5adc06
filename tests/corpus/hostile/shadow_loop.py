def reward(state, action, next_state):
    for max in (1.0, 2.0):
        pass
    return 1.0
