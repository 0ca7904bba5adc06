# env: MountainCar-v0
def reward(state, action, next_state):
    kinetic = 0.5 * (100 * next_state["velocity"]) ** 2
    potential = next_state["height"]
    goal = 100.0 if next_state["distance_to_goal"] <= 0 else 0.0
    return kinetic + potential + goal - 1.0, {"kinetic": kinetic, "potential": potential, "goal": goal}
