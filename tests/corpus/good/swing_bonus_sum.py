# env: CartPoleSwing-v0
def reward(state, action, next_state):
    """Components that only some paths add, summed at the end."""
    parts = {"alive": 1.0}
    if next_state["has_touched_left_threshold"] and not state["has_touched_left_threshold"]:
        parts["left"] = 10.0
    if next_state["has_touched_right_threshold"]:
        parts["right"] = 5.0
        if action == 1:
            parts["push"] = abs(next_state["cart_velocity"])
    return sum(parts.values()) - 0.1 * (action != 1), parts
