# env: CartPole-v1
GAMMA = 0.99
WEIGHTS = {"angle": 4.0, "position": 0.5}


def potential(s):
    return -WEIGHTS["angle"] * abs(s["pole_angle"]) - WEIGHTS["position"] * abs(s["cart_position"])


def reward(state, action, next_state):
    shaping = GAMMA * potential(next_state) - potential(state)
    return 1.0 + shaping, {"alive": 1.0, "shaping": shaping}
