total = 0.0


def reward(state, action, next_state):
    global total
    total = total + 1
    return total
