# env: CartPole-v1
def reward(state, action, next_state):
    """Operators where Python's meaning is easily missed."""
    x, v = next_state["cart_position"], next_state["cart_velocity"]
    signs = (x > 0) + (v > 0) - (action == 1)
    first = x and v or 3
    neither = not x > 0 or v
    floors = -7 // 2 + x // -2 + v % -3 + -x ** 2 + 2 ** -1
    chained = -1 < x < v != 0
    return signs + first + neither + floors, {
        "extreme": max(x, v, 0.25, action) - min(x, v, -1),
        "chained": chained,
        "kept": True + chained * 2,
    }


