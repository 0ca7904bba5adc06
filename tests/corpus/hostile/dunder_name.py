if __name__ == "program":
    open("canary", "w")


def reward(state, action, next_state):
    return 1.0
