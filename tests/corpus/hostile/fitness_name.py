def reward(state, action, next_state):
    return next_state["reward"]
