def reward(state, action, next_state):
    return "".join(["a", "b"])
