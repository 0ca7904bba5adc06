# env: CartPole-v1
SCALE = 2.0


def near(value, width=0.5, *, power=2):
    value = abs(value / width) ** power
    return math.exp(-value)


def reward(state, action, next_state):
    """Helpers with defaults, keywords, names of their own, and one that sees a later value."""
    value = next_state["pole_angle"]
    bonus = 1.0

    def later(factor):
        return factor * bonus + near(power=1, value=value)

    if next_state["cart_velocity"] > 0:
        bonus = value
    for width in (0.25, 1.0, 4.0):
        if abs(value) < width / 10:
            return later(width), {"width": width}
        bonus += near(value, width=width)
    (first, *_), second = (later(SCALE), 0.0), near(value, 3)
    first, second = second, first
    return first - second, {"bonus": bonus}
