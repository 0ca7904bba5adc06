# env: CartPoleSwing-v0
import numpy as np


def reward(state, action, next_state):
    # Balance first, then reach for the side that is due → swing.
    balance = np.exp(-20.0 * next_state["pole_angle"] ** 2)
    if next_state["has_touched_left_threshold"] and not next_state["has_touched_right_threshold"]:
        target = next_state["swing_threshold"]
    elif next_state["has_touched_right_threshold"] and not next_state["has_touched_left_threshold"]:
        target = -next_state["swing_threshold"]
    else:
        target = 0.6 * next_state["swing_threshold"]
    reach = np.exp(-abs(next_state["cart_position"] - target))
    return balance + reach, {"balance": balance, "reach": reach}
