def reward(state, action, next_state):
    return (f := 1.0) + f
