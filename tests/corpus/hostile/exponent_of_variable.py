def reward(state, action, next_state):
    n = 10
    n = n**n**n
    return 1.0
