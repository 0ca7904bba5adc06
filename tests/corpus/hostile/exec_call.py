def reward(state, action, next_state):
    exec("open('canary', 'w')")
    return 1.0
