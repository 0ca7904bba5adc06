def reward(state, action, next_state):
    return sum(map(open, ("canary",)))
