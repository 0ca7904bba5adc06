# env: CartPole-v1
def reward(state, action, next_state):
    x, x_dot, theta, *_ = next_state
    before, *rest = state
    return -abs(x) - 0.5 * abs(theta) - 0.1 * abs(x - before) - 0.0 * len(rest), {"slow": -abs(x_dot)}
