def reward(state, action, next_state):
    total = 0.0

    def add(x):
        nonlocal total
        total += x

    return total
