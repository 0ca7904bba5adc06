# env: snake-v0
def reward(state, action, next_state):
    if next_state["crashed"]:
        return -1.0, {"crash": -1.0}
    ate = next_state["foods_eaten"] > state["foods_eaten"]
    before = abs(state["food_below"]) + abs(state["food_right"])
    after = abs(next_state["food_below"]) + abs(next_state["food_right"])
    closer = 0 if ate else before - after
    return 1.0 * ate + 0.1 * closer, {"ate": ate, "closer": closer}
