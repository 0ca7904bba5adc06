"""PureJaxRL, from a checkout of it: one measurement as a line of JSON."""

import argparse
import sys
from pathlib import Path
from typing import Any

from clock import ENVS, arguments, clock_jax

PPO = {
    "LR": 2.5e-4,
    "NUM_STEPS": 128,
    "UPDATE_EPOCHS": 4,
    "NUM_MINIBATCHES": 4,
    "GAMMA": 0.99,
    "GAE_LAMBDA": 0.95,
    "CLIP_EPS": 0.2,
    "ENT_COEF": 0.01,
    "VF_COEF": 0.5,
    "MAX_GRAD_NORM": 0.5,
    "ACTIVATION": "tanh",
    "ANNEAL_LR": True,
    "DEBUG": False,
}
DQN = {
    "BUFFER_BATCH_SIZE": 128,
    "EPSILON_START": 1.0,
    "EPSILON_FINISH": 0.05,
    "LR": 2.5e-4,
    "LEARNING_STARTS": 1000,
    "LR_LINEAR_DECAY": False,
    "GAMMA": 0.99,
    "TAU": 1.0,
}


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that all contestants have, by PureJaxRL's names."""
    sizes = {
        "NUM_ENVS": args.num_envs,
        "TOTAL_TIMESTEPS": args.total_steps,
        "ENV_NAME": ENVS[args.algorithm],
    }
    if args.algorithm == "ppo":
        return PPO | sizes
    return (
        DQN
        | sizes
        | {
            "BUFFER_SIZE": args.buffer_size,
            # One gradient step each time that all environments have stepped once.
            "TRAINING_INTERVAL": args.num_envs,
            "TARGET_UPDATE_INTERVAL": 50 * args.num_envs,
            "EPSILON_ANNEAL_TIME": args.total_steps / 2,
        }
    )


def main() -> None:
    args = arguments()
    sys.path.insert(0, str(Path(args.checkout) / "purejaxrl"))
    import jax

    if args.algorithm == "dqn":
        # A name that jax has since dropped, which this one file still uses.
        jax.tree_map = jax.tree.map
        import dqn as module
    else:
        import ppo as module

    per_update = args.num_envs * (128 if args.algorithm == "ppo" else 1)
    steps = args.total_steps // per_update * per_update

    def last_return(out: Any) -> float:
        metrics = out["metrics"]
        returns = metrics["returned_episode_returns" if args.algorithm == "ppo" else "returns"]
        axis = 1 if args.seeds > 1 else 0
        tail = max(1, returns.shape[axis] // 10)
        return float((returns[:, -tail:] if axis else returns[-tail:]).mean())

    clock_jax(module.make_train(settings(args)), last_return, steps, args, {})


if __name__ == "__main__":
    main()
