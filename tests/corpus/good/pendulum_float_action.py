# env: Pendulum-v1
import torch


def reward(state, action, next_state):
    u = float(action)
    upright = torch.exp(-2.0 * torch.abs(next_state["angle"]))
    spin = 1.0 - torch.sigmoid(torch.abs(next_state["angular_velocity"]) - 2.0)
    effort = -0.01 * u**2
    return upright * spin + effort, {"upright": upright, "spin": spin, "effort": effort}
