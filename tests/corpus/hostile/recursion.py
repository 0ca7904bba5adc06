def reward(state, action, next_state):
    return reward(state, action, next_state)
