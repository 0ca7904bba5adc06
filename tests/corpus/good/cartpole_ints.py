# env: CartPole-v1
def reward(state, action, next_state):
    direction = 2 * int(action) - 1
    weights = (0.2, 0.8)
    r = weights[action] * direction * next_state.cart_velocity
    return round(r, 3) + max(0.0, 1.0 - abs(next_state.pole_angle)), {"r": r}
