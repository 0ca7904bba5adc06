"""Environments that live on the accelerator, and are drawn there.

Imports nothing of `jaxrl`: anyone's training code can use them. `ENVIRONMENTS` is what the entry
point `jaxrl.envs` hands to `jaxrl.make`.
"""

from collections.abc import Callable
from functools import partial

from jaxrl_envs.base import Environment as Environment
from jaxrl_envs.base import EnvParams as EnvParams
from jaxrl_envs.base import EnvState as EnvState
from jaxrl_envs.cartpole import CartPole as CartPole
from jaxrl_envs.cartpole_swing import CartPoleSwing as CartPoleSwing
from jaxrl_envs.lunar_lander import LunarLander as LunarLander
from jaxrl_envs.maze import RobotMaze as RobotMaze
from jaxrl_envs.snake import Snake as Snake
from jaxrl_envs.spaces import Box as Box
from jaxrl_envs.spaces import Discrete as Discrete

ENVIRONMENTS: dict[str, Callable[..., Environment]] = {
    "CartPole-v1": CartPole,
    "LunarLander-v3": LunarLander,
    "LunarLanderContinuous-v3": partial(LunarLander, True),
    "CartPoleSwing-v0": CartPoleSwing,
    "RobotMaze-v0": RobotMaze,
    "snake-v0": Snake,
}
"""Name to factory."""

OLDER_NAMES = {
    "LunarLander-v2": "LunarLander-v3",
    "LunarLanderContinuous-v2": "LunarLanderContinuous-v3",
}
"""Names in papers before 2024, and what they are today: the same physics, reward, observations."""

ENVIRONMENTS |= {older: ENVIRONMENTS[name] for older, name in OLDER_NAMES.items()}
