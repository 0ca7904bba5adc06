def abs(x):
    return open("canary", "w")


def reward(state, action, next_state):
    return abs(1.0)
