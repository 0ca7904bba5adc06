def reward(state, action, next_state):
    return sum([open("canary", "w") for _ in range(3)])
