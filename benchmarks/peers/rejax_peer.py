"""rejax: one measurement as a line of JSON."""

import argparse
import importlib.metadata
from typing import Any

from clock import ENVS, arguments, clock_jax


def algorithm(args: argparse.Namespace) -> tuple[Any, int]:
    """The settings that all contestants have, by rejax's names; and the steps of a run."""
    from rejax import DQN, PPO, SAC

    per_update = args.num_envs * (128 if args.algorithm == "ppo" else 1)
    steps = args.total_steps // per_update * per_update
    common = dict(
        env=ENVS[args.algorithm],
        num_envs=args.num_envs,
        total_timesteps=steps,
        eval_freq=steps,
        skip_initial_evaluation=True,
    )
    if args.algorithm == "ppo":
        made = PPO.create(
            **common,
            num_steps=128,
            num_epochs=4,
            num_minibatches=4,
            learning_rate=2.5e-4,
            ent_coef=0.01,
            max_grad_norm=0.5,
            agent_kwargs={"activation": "tanh", "hidden_layer_sizes": (64, 64)},
        )
        return made, steps
    # One gradient step (num_epochs) each time that all environments have stepped once.
    common |= dict(num_epochs=1, buffer_size=args.buffer_size, fill_buffer=1000)
    if args.algorithm == "dqn":
        made = DQN.create(
            **common,
            batch_size=128,
            learning_rate=2.5e-4,
            ddqn=False,
            exploration_fraction=0.5,
            target_update_freq=50 * args.num_envs,
            polyak=0.0,
            # Its agent's widths are fixed at 64 and 64, which is less work than the others have.
            agent_kwargs={"activation": "relu"},
        )
        return made, steps
    made = SAC.create(
        **common,
        batch_size=256,
        learning_rate=3e-4,
        polyak=0.995,
        agent_kwargs={"activation": "relu", "hidden_layer_sizes": (64, 64)},
    )
    return made, steps


def main() -> None:
    args = arguments()
    made, steps = algorithm(args)

    def last_return(out: Any) -> float:
        _, (_, returns) = out
        return float(returns[..., -1, :].mean())

    version = importlib.metadata.version("rejax")
    clock_jax(made.train, last_return, steps, args, {"rejax": version})


if __name__ == "__main__":
    main()
