# env: LunarLander-v3
import torch


def reward(state, action, next_state):
    motion = torch.tensor([next_state["x_velocity"], next_state["y_velocity"], next_state["angular_velocity"]])
    effort = motion.square().sum()
    worst = motion.abs().max()
    mean = motion.abs().mean()
    soft = motion.clamp(-1, 1).pow(2).sum().sqrt()
    total = -0.1 * effort - worst - 0.5 * mean - soft
    return total, {"effort": effort, "worst": worst, "soft": soft}
