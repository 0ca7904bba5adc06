def reward(state, action, next_state):
    return compile("open('canary', 'w')", "x", "exec")
