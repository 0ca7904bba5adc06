def a(x):
    return x + x * x - x / 2 + x


def b(x):
    return a(a(a(a(a(a(a(a(x))))))))


def c(x):
    return b(b(b(b(b(b(b(b(x))))))))


def d(x):
    return c(c(c(c(c(c(c(c(x))))))))


def reward(state, action, next_state):
    return d(d(d(d(state["pole_angle"]))))
