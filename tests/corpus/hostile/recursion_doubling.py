def f(n):
    return f(n - 1) + f(n - 1) if n > 0 else 1.0


def reward(state, action, next_state):
    return f(40)
