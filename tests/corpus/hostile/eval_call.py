def reward(state, action, next_state):
    return eval("open('canary', 'w')")
