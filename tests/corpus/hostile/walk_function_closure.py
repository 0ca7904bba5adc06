def helper(x):
    return x


def reward(state, action, next_state):
    f = helper
    return f(1.0)
