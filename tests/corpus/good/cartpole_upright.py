# env: CartPole-v1
def reward(state, action, next_state):
    return 1.0 - abs(next_state["pole_angle"])
