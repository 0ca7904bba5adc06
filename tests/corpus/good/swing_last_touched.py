# env: CartPoleSwing-v0
import torch


def reward(state, action, next_state):
    side = torch.where(next_state["last_touched"] >= 0, -1.0, 1.0)
    progress = side * (next_state["cart_position"] - state["cart_position"])
    upright = torch.clamp(1.0 - torch.abs(next_state["pole_angle"]) / 0.2, min=0.0)
    return upright + 5 * torch.tanh(20 * progress), {"progress": progress, "upright": upright}
