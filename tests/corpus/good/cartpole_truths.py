# env: CartPole-v1
def reward(state, action, next_state):
    fallen = abs(next_state["pole_angle_degrees"]) > 12
    left = next_state["cart_position"] < -2.4
    right = next_state["cart_position"] > 2.4
    failed = fallen or left or right
    score = (not failed) * 1.0 - (left + right) * 2
    return score, {"failed": -float(failed), "sides": float(left + right)}
