def reward(state, action, next_state):
    return next_state["pole_angle"].at[0].set(1.0)
