def f(x):
    return g(x)


def g(x):
    return f(x)


def reward(state, action, next_state):
    return f(1.0)
