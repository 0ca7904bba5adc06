def reward(state, action, next_state):
    with open("canary", "w") as file:
        file.write("x")
    return 1.0
