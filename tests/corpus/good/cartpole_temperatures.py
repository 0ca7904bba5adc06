# env: CartPole-v1
from typing import Dict, Tuple

import torch


def reward(
    state: Dict[str, torch.Tensor], action: torch.Tensor, next_state: Dict[str, torch.Tensor]
) -> Tuple[torch.Tensor, Dict[str, torch.Tensor]]:
    angle_temperature: float = 0.1
    position_temperature: float = 1.5
    angle_reward = torch.exp(-torch.abs(next_state["pole_angle"]) / angle_temperature)
    position_reward = torch.exp(-torch.abs(next_state["cart_position"]) / position_temperature)
    total_reward = angle_reward + 0.5 * position_reward
    return total_reward, {"angle_reward": angle_reward, "position_reward": position_reward}
