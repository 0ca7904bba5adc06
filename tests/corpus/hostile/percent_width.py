def reward(state, action, next_state):
    return 1.0, {"%999999999d" % 1: 1.0}
