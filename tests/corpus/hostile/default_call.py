def reward(state, action, next_state):
    def helper(x=open("canary", "w")):
        return 1.0

    return helper()
