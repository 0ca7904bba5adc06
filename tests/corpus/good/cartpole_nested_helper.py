# env: CartPole-v1
def reward(state, action, next_state):
    def closeness(value, limit):
        share = min(abs(value) / limit, 1.0)
        return 1.0 - share

    def both(limit):
        return closeness(next_state.pole_angle, limit) * closeness(next_state.cart_position, 2.4)

    value = both(0.2095)
    return value, {"closeness": value}
