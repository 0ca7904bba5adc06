# env: CartPole-v1
def reward(state, action, next_state):
    level = 0
    for i in range(1, 6):
        if abs(next_state["pole_angle"]) < 0.05 * i:
            level = level + 1
    return level / 5
