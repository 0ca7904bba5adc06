# env: CartPole-v1
def reward(state, action, next_state):
    cost = 0.0
    for name, weight in zip(("pole_angle", "cart_position", "cart_velocity"), (5.0, 0.5, 0.05)):
        cost += weight * next_state[name] ** 2
    return -cost, {"cost": -cost}
