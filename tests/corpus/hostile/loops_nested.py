def reward(state, action, next_state):
    total = state["pole_angle"]
    for a in range(16):
        for b in range(16):
            for c in range(16):
                for d in range(16):
                    for e in range(16):
                        total = total + 1.0
    return total
