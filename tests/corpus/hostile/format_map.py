def reward(state, action, next_state):
    return "{x}".format_map(state)
