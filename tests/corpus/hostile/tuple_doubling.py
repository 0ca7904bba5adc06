def reward(state, action, next_state):
    x = (state["pole_angle"],)
    for i in range(16):
        x = (*x, *x)
    for i in range(16):
        x = (*x, *x)
    return sum(x)
