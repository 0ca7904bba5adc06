def reward(state, action, next_state):
    return globals()["open"]("canary", "w")
