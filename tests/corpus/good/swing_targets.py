# env: CartPoleSwing-v0
def sign(value):
    if value > 0:
        return 1.0
    if value < 0:
        return -1.0
    return 0.0


def reward(state, action, next_state):
    goal = -sign(state["last_touched"]) * state["swing_threshold"] * 1.1
    before = abs(goal - state["cart_position"])
    after = abs(goal - next_state["cart_position"])
    closer = before - after
    tilt = abs(next_state["pole_angle"])
    if tilt > 0.2:
        return -1.0, {"closer": closer, "tilt": -tilt}
    return 1.0 + 10.0 * closer - tilt, {"closer": closer, "tilt": -tilt}
