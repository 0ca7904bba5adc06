"""Stable-Baselines3's PPO, as it comes, on CartPoleSwing with a reward of code: a line of JSON.

The environment is Gymnasium's CartPole with the task of CartPoleSwing-v0 around it. One candidate
is trained for a slice of its steps: its speed does not depend on how long it runs.
"""

import argparse
import importlib.metadata
import json
import math
import time

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv


class CartPoleSwing(CartPoleEnv):
    """The observation of CartPoleSwing-v0; the reward is an example of generated code."""

    zone = 0.5

    def __init__(self):
        super().__init__()
        bound = np.full(8, np.inf, np.float32)
        self.observation_space = gymnasium.spaces.Box(-bound, bound)
        self.touched = {-1: False, 1: False}
        self.last = 0

    def reset(self, **settings):
        """Nothing is touched."""
        obs, info = super().reset(**settings)
        self.touched, self.last = {-1: False, 1: False}, 0
        return self.seen(obs), info

    def step(self, action):
        """A step, and whether a zone was entered."""
        obs, _, terminated, truncated, info = super().step(action)
        side = int(obs[0] >= self.zone) - int(obs[0] <= -self.zone)
        entered = side != 0 and side != self.last
        if entered:
            if self.touched[side]:
                self.touched = {-1: False, 1: False}
            self.touched[side], self.last = True, side
        reward = 1.0 + 20.0 * entered + 0.1 * abs(math.tanh(obs[1]))
        return self.seen(obs), reward, terminated, truncated, info

    def seen(self, obs):
        """CartPole's observation, the zones', the flags and the side touched last."""
        more = [self.zone, self.touched[-1], self.touched[1], self.last]
        return np.concatenate([obs, np.array(more, np.float32)])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=20_480)
    args = parser.parse_args()
    from stable_baselines3 import PPO

    env = gymnasium.wrappers.TimeLimit(CartPoleSwing(), 2000)
    model = PPO("MlpPolicy", env, device="cpu")
    began, used = time.perf_counter(), time.process_time()
    model.learn(args.steps)
    wall, processor = time.perf_counter() - began, time.process_time() - used
    print(
        json.dumps(
            {
                "steps": model.num_timesteps,
                "wall_seconds": wall,
                "processor_seconds": processor,
                "steps_per_second": model.num_timesteps / wall,
                "versions": {
                    "stable-baselines3": importlib.metadata.version("stable-baselines3"),
                    "torch": importlib.metadata.version("torch"),
                },
            }
        )
    )


if __name__ == "__main__":
    main()
