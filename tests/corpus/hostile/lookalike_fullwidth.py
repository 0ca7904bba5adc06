def reward(state, action, next_state):
    return ｏｐｅｎ("canary", "w")
