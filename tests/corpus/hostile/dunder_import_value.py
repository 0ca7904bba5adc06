def reward(state, action, next_state):
    return __import__("os").system("touch canary")
