def reward(state, action, next_state):
    c = {"a": 1.0}
    del c["a"]
    return 1.0, c
