def reward(state, action, next_state):
    x = 1000000000
    x = x * x * x * x
    return x
