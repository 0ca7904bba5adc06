def reward(state, action, next_state):
    return type("X", (), {})()
