# env: CartPole-v1
import math


def reward(state, action, next_state):
    limit = 12 * 2 * math.pi / 360
    if abs(next_state.pole_angle) > limit:
        return -10.0, {"fell": -10.0}
    if abs(next_state.cart_position) > 2.4:
        return -5.0, {"left": -5.0}
    alive = 1.0
    return alive, {"alive": alive}
