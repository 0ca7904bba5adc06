def reward(state, action, next_state):
    x = [0]
    while x:
        x = x + x
    return 1.0
