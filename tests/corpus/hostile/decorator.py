def run(f):
    return open("canary", "w")


@run
def reward(state, action, next_state):
    return 1.0
