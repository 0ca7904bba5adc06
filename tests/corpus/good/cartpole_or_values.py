# env: CartPole-v1
def reward(state, action, next_state):
    speed = next_state["cart_velocity"] or 0.01
    late = next_state["time"] > 100 and 0.5
    return 1 / (1 + abs(speed)) + late, {"speed": speed}
