def reward(state, action, next_state):
    return max((1.0, 2.0), key=open)
