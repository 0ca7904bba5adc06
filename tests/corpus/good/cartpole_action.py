# env: CartPole-v1
def reward(state, action, next_state):
    pushes_under = (action == 1 and state["pole_angle"] > 0) or (
        action == 0 and state["pole_angle"] <= 0
    )
    bonus = 0.1 if pushes_under else -0.1
    return 1 + bonus, {"alive": 1, "push": bonus}
