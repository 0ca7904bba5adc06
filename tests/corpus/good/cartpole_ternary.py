# env: CartPole-v1
def reward(state, action, next_state):
    moving_back = state["cart_position"] * next_state["cart_velocity"] < 0
    r = 1.0 if abs(next_state["pole_angle"]) < 0.1 else 0.2 if moving_back else 0.0
    return r
