"""PureJaxRL's PPO on CartPole-v1, from a checkout of it: one measurement as a line of JSON."""

import argparse
import json
import resource
import sys
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("--num-envs", type=int, required=True)
    parser.add_argument("--total-steps", type=int, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    sys.path.insert(0, str(args.checkout / "purejaxrl"))
    import jax
    import ppo

    config = {
        "LR": 2.5e-4,
        "NUM_ENVS": args.num_envs,
        "NUM_STEPS": 128,
        "TOTAL_TIMESTEPS": args.total_steps,
        "UPDATE_EPOCHS": 4,
        "NUM_MINIBATCHES": 4,
        "GAMMA": 0.99,
        "GAE_LAMBDA": 0.95,
        "CLIP_EPS": 0.2,
        "ENT_COEF": 0.01,
        "VF_COEF": 0.5,
        "MAX_GRAD_NORM": 0.5,
        "ACTIVATION": "tanh",
        "ENV_NAME": "CartPole-v1",
        "ANNEAL_LR": True,
        "DEBUG": False,
    }
    run = jax.jit(ppo.make_train(config))
    key = jax.random.PRNGKey(0)
    began = time.perf_counter()
    program = run.lower(key).compile()
    compiled = time.perf_counter() - began
    updates = args.total_steps // (args.num_envs * 128)
    rates = []
    for _ in range(args.repeats):
        began = time.perf_counter()
        out = jax.block_until_ready(program(key))
        rates.append(updates * args.num_envs * 128 / (time.perf_counter() - began))
    returns = out["metrics"]["returned_episode_returns"]
    print(
        json.dumps(
            {
                "steps_per_second": rates,
                "compile_seconds": compiled,
                "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "last_return": float(returns[-max(1, updates // 100) :].mean()),
                "versions": {"jax": jax.__version__},
            }
        )
    )


if __name__ == "__main__":
    main()
