def reward(state, action, next_state):
    return "%s" % state
