"""Stable-Baselines3: one measurement as a line of JSON. One seed, whatever is asked."""

import argparse
import importlib.metadata
import time
from typing import Any

from clock import ENVS, arguments, tell


def model(args: argparse.Namespace) -> Any:
    """The settings that all contestants have, by Stable-Baselines3's names."""
    from stable_baselines3 import DQN, PPO, SAC
    from stable_baselines3.common.env_util import make_vec_env

    envs = make_vec_env(ENVS[args.algorithm], args.num_envs)
    if args.algorithm == "ppo":
        return PPO(
            "MlpPolicy",
            envs,
            n_steps=128,
            batch_size=128 * args.num_envs // 4,
            n_epochs=4,
            learning_rate=2.5e-4,
            ent_coef=0.01,
            device="cpu",
        )
    # One gradient step each time that all environments have stepped once.
    common: dict[str, Any] = dict(
        buffer_size=args.buffer_size,
        learning_starts=1000,
        train_freq=1,
        gradient_steps=1,
        device="cpu",
    )
    if args.algorithm == "dqn":
        return DQN(
            "MlpPolicy",
            envs,
            batch_size=128,
            learning_rate=2.5e-4,
            exploration_fraction=0.5,
            target_update_interval=50 * args.num_envs,
            policy_kwargs={"net_arch": [120, 84]},
            **common,
        )
    return SAC("MlpPolicy", envs, batch_size=256, policy_kwargs={"net_arch": [64, 64]}, **common)


def main() -> None:
    args = arguments()
    # Its speed does not depend on how long it runs, and half a million steps take minutes; but
    # learning must have begun for most of the run.
    steps = min(args.total_steps, {"ppo": 20_000, "dqn": 20_000, "sac": 5_000}[args.algorithm])
    made = model(args)
    began = time.perf_counter()
    made.learn(steps)
    rate = made.num_timesteps / (time.perf_counter() - began)
    returns = [episode["r"] for episode in made.ep_info_buffer]
    versions = {name: importlib.metadata.version(name) for name in ("stable-baselines3", "torch")}
    tell([rate], 0.0, sum(returns) / len(returns), versions)


if __name__ == "__main__":
    main()
