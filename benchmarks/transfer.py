"""Trains PPO in our lander with the fast solver, and plays the policies in Gymnasium's own.

    pip install swig "gymnasium[box2d]"
    python benchmarks/transfer.py                  both landers
    python benchmarks/transfer.py LunarLander-v3

Nothing of Gymnasium's environment is touched: policies are greedy, see its observations, and play
100 episodes with the seeds 0 to 99. Lines go to `benchmarks/results/transfer.jsonl`, and the table
in `benchmarks/README.md` is made from them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from report import write_report
from throughput import commit

import jaxrl
from jaxrl.algorithms import algorithm_entry
from jaxrl.presets import PRESETS
from jaxrl.run.machine import machine

RESULTS = Path(__file__).parent / "results" / "transfer.jsonl"
GYMNASIUM = {
    "LunarLander-v3": {"continuous": False},
    "LunarLanderContinuous-v3": {"continuous": True},
}
SOLVED = 200.0
"""The return from which on Gymnasium calls an episode solved."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("envs", nargs="*", default=list(GYMNASIUM))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=100)
    args = parser.parse_args()
    for env_name in args.envs:
        measure(env_name, args.seeds, args.episodes)
    write_report()


def measure(env_name: str, seeds: int, episodes: int) -> None:
    """Trains the preset of one lander, and records how each seed's policy does elsewhere."""
    preset = PRESETS["ppo", env_name]
    entry = algorithm_entry("ppo")
    fast, params = jaxrl.make(env_name, **preset.env_settings)
    began = time.process_time()
    result = jaxrl.train(
        entry.build(fast, preset.config),
        params,
        total_steps=preset.total_steps,
        seeds=seeds,
        eval_every=0,
        eval_episodes=episodes,
    )
    processor_seconds = time.process_time() - began
    algorithm = entry.build(jaxrl.make(env_name, solver="exact")[0], preset.config)
    exact = jaxrl.evaluate(algorithm, result.state, num_episodes=episodes)
    act = jax.jit(partial(algorithm.act, greedy=True))
    for seed in range(seeds):
        state = jax.tree.map(lambda leaf, seed=seed: leaf[seed], result.state)
        policy = partial(act, state, key=jax.random.key(0))
        returns, lengths = play(policy, episodes, **GYMNASIUM[env_name])
        row = {
            "env": env_name,
            "seed": seed,
            "episodes": episodes,
            "total_steps": preset.total_steps,
            "train_seconds": result.train_seconds,
            "compile_seconds": result.compile_seconds,
            "processor_seconds": processor_seconds,
            "fast": float(result.final.per_seed[seed]),
            "exact": float(exact.per_seed[seed]),
            "mean": float(returns.mean()),
            "median": float(np.median(returns)),
            "min": float(returns.min()),
            "solved": float((returns >= SOLVED).mean()),
            "mean_length": float(lengths.mean()),
            "date": str(date.today()),
            "commit": commit(),
            "machine": machine(),
        }
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(
            f"{env_name} seed {seed}: mean {row['mean']:.1f}, {row['solved']:.0%} solved, "
            f"fast {row['fast']:.1f}, exact {row['exact']:.1f}, trained in "
            f"{result.train_seconds:.0f} s",
            flush=True,
        )


def play(
    policy: Callable[[np.ndarray], Any], episodes: int, **arguments: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Returns and lengths of one episode in each of as many of Gymnasium's environments."""
    import gymnasium

    envs = [gymnasium.make("LunarLander-v3", **arguments) for _ in range(episodes)]
    obs = np.stack([env.reset(seed=i)[0] for i, env in enumerate(envs)])
    returns, lengths = np.zeros(episodes), np.zeros(episodes, int)
    running = set(range(episodes))
    while running:
        actions = np.asarray(policy(obs))
        for i in sorted(running):
            action = actions[i] if arguments["continuous"] else int(actions[i])
            obs[i], reward, terminated, truncated, _ = envs[i].step(action)
            returns[i] += float(reward)
            lengths[i] += 1
            if terminated or truncated:
                running.discard(i)
    return returns, lengths


if __name__ == "__main__":
    main()
