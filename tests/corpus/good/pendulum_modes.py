# env: Pendulum-v1
import math


def wrapped(angle):
    return (angle + math.pi) % (2 * math.pi) - math.pi


def reward(state, action, next_state):
    angle = wrapped(next_state["angle"])
    near = abs(angle) < math.radians(30)
    if near:
        r = 2.0 - abs(angle) - 0.1 * abs(next_state["angular_velocity"])
    else:
        energy = 0.5 * next_state["angular_velocity"] ** 2 + 10 * math.cos(angle)
        r = -abs(energy - 10.0) / 20
    return r, {"near": near, "r": r}
