import torch


def reward(state, action, next_state):
    return torch.load("canary.pt")
