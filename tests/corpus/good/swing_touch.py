# env: CartPoleSwing-v0
def reward(state, action, next_state):
    entered_left = next_state.has_touched_left_threshold and not state.has_touched_left_threshold
    entered_right = next_state.has_touched_right_threshold and not state.has_touched_right_threshold
    total = 1.0
    if entered_left or entered_right:
        total += 10.0
    if abs(next_state.pole_angle) > 0.2:
        total -= 5.0
    components = {"left": entered_left, "right": entered_right}
    return total, components
