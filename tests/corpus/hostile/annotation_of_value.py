def reward(state, action, next_state):
    x: open("canary", "w")
    return x
