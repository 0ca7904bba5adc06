from math import exp


def exp(x):
    return x


def reward(state, action, next_state):
    return exp(1.0)
