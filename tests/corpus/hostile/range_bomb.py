def reward(state, action, next_state):
    total = 0.0
    for i in range(10**9):
        total += i
    return total
