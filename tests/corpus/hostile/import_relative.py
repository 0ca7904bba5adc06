from . import secrets


def reward(state, action, next_state):
    return 1.0
