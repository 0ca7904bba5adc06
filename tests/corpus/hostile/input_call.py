def reward(state, action, next_state):
    return float(input())
