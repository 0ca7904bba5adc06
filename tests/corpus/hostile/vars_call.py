def reward(state, action, next_state):
    return vars()["state"]
