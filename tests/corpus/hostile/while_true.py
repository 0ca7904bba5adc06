def reward(state, action, next_state):
    while True:
        pass
    return 1.0
