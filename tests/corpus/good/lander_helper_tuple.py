# env: LunarLander-v3
def polar(x, y):
    r = (x**2 + y**2) ** 0.5
    return r, x / (r + 1e-6)


def reward(state, action, next_state):
    distance, side = polar(next_state.x, next_state.y)
    before, _ = polar(state.x, state.y)
    total = before - distance
    total -= 0.1 * abs(side)
    return total, {"closer": before - distance}
