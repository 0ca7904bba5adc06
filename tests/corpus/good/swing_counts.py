# env: CartPoleSwing-v0
def reward(state, action, next_state):
    """Integers that outgrow 32 bits, as a count of steps in nanoseconds does."""
    nanoseconds = next_state["time"] + 1_000_000_000 + 1_000_000_000 + 1_000_000_000
    doubled = state["time"]
    for _ in range(16):
        doubled += doubled
    for _ in range(10):
        doubled += doubled
    whole = int(next_state["cart_position"] * 1e9)
    total = nanoseconds / 1e9 + doubled / 1e9 + whole / 1e9
    return total, {"steps": sum([state["time"], 1_000_000_000, 1_000_000_000, 1_000_000_000]) / 1e9}
