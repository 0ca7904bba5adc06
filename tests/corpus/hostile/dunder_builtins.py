def reward(state, action, next_state):
    return __builtins__["open"]("canary", "w")
