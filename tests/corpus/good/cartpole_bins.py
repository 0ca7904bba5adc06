# env: CartPole-v1
WEIGHTS = (0.5, 1.0, 2.0, 4.0)


def reward(state, action, next_state):
    """Levels of tilt by an index that is computed, and slices of a tuple."""
    level = int(abs(next_state["pole_angle"]) * 10) % 4
    middle = WEIGHTS[1:-1]
    side = (-1, 1)[int(next_state["cart_position"] > 0)]
    nearest = min(level + 1, 3)
    return -WEIGHTS[level] * side + sum(middle), {
        "next_level": WEIGHTS[nearest],
        "last": middle[-1],
        "rounded": round(next_state["pole_angle"], 1) + round(next_state["cart_velocity"]),
    }
