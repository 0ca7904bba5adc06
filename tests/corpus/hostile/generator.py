def reward(state, action, next_state):
    return sum(x for x in (open("canary", "w"), 1.0))
