def reward(state, action, next_state):
    return (lambda: open("canary", "w"))()
