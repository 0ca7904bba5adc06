# env: CartPole-v1
def reward(state, action, next_state):
    inside = -2.4 <= next_state["cart_position"] <= 2.4
    upright = -0.2 < next_state["pole_angle"] < 0.2
    if inside and upright:
        return 1.0, {"alive": 1.0}
    return 0.0, {"alive": 0.0}
