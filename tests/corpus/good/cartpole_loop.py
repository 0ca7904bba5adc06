# env: CartPole-v1
def reward(state, action, next_state):
    total = 0.0
    for limit in (0.05, 0.1, 0.15, 0.2):
        if abs(next_state.pole_angle) < limit:
            total += 0.25
    return total, {"steps": total}
