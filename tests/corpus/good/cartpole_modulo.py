# env: CartPole-v1
def reward(state, action, next_state):
    beat = state["time"] % 10
    half = state["time"] // 50
    swing = 1.0 if beat < 5 else -1.0
    return swing * next_state["cart_velocity"] + 0.1 * half, {"beat": beat, "half": half}
