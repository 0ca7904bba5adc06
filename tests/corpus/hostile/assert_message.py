def reward(state, action, next_state):
    assert False, open("canary", "w")
    return 1.0
