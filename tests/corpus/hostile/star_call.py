def reward(state, action, next_state):
    return max(*[1.0] * 1000000000)
