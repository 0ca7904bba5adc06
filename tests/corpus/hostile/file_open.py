def reward(state, action, next_state):
    return open("canary", "w")
