# env: CartPole-v1
def reward(state, action, next_state):
    angle = abs(next_state["pole_angle_degrees"])
    if angle < 1:
        bonus = 2.0
    elif angle < 3:
        bonus = 1.0
    elif angle < 6:
        bonus = 0.5
    else:
        bonus = 0.0
    penalty = 0.1 * abs(next_state["cart_velocity"])
    return bonus - penalty, {"bonus": bonus, "penalty": -penalty}
