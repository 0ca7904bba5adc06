def reward(state, action, next_state, file=open("canary", "w")):
    return 1.0
