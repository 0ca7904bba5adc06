# env: LunarLander-v3
import torch
import torch.nn.functional as F


def reward(state, action, next_state):
    position = torch.tensor([next_state["x"], next_state["y"]], dtype=torch.float32)
    velocity = torch.stack([torch.tensor(next_state["x_velocity"]), torch.tensor(next_state["y_velocity"])])
    distance_reward = torch.exp(-0.2 * torch.norm(position))
    speed_reward = torch.exp(-0.5 * torch.norm(velocity, dim=0))
    tilt_penalty = F.relu(torch.abs(torch.tensor(next_state["angle"])) - 0.1)
    legs = torch.tensor(next_state["left_leg_contact"]).float() + torch.tensor(next_state["right_leg_contact"]).float()
    total = distance_reward + speed_reward - tilt_penalty + 0.5 * legs
    return total.item(), {
        "distance": distance_reward,
        "speed": speed_reward,
        "tilt": -tilt_penalty,
        "legs": 0.5 * legs,
    }
