# env: LunarLander-v3
def reward(state, action, next_state):
    """Vectors by every library's spelling, and what only one of them means by a name."""
    speed = np.array([next_state["x_velocity"], next_state["y_velocity"]])
    rows = np.stack([speed, 2.0 * speed])
    turned = math.remainder(next_state["angle"], 2 * math.pi)
    crossed = np.inner(rows, rows)
    level = math.isclose(next_state["angle"], 0.0, abs_tol=0.05)
    total = -np.linalg.norm(speed) - abs(turned) + crossed[0, 1] * 0.01
    return total, {
        "rows": np.linalg.norm(rows, 1, axis=1)[1],
        "product": np.prod([action, 100000, 100000]) / 1e9 / 10,
        "spread": speed.std() + np.std(speed, ddof=1),
        "level": level,
        "counted": (rows > 0).sum(),
    }
