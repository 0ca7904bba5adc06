"""jaxrl: one measurement as a line of JSON."""

import argparse
from functools import partial
from typing import Any

import jax
import numpy as np
from clock import ENVS, arguments, clock_jax

import jaxrl
from jaxrl.devices import over_seeds, seed_mesh


def config(args: argparse.Namespace) -> Any:
    """The settings that all contestants have, by our names."""
    if args.algorithm == "ppo":
        return jaxrl.PPOConfig(
            num_envs=args.num_envs,
            num_steps=128,
            update_epochs=4,
            num_minibatches=4,
            learning_rate=2.5e-4,
            learning_rate_final=0.0,
            ent_coef=0.01,
            clip_eps_vf=0.2,
        )
    if args.algorithm == "dqn":
        return jaxrl.DQNConfig(
            num_envs=args.num_envs,
            buffer_size=args.buffer_size,
            batch_size=128,
            replay_ratio=1 / args.num_envs,
            learning_starts=1000,
            target_period=50,
            double=False,
            loss="squared",
            max_grad_norm=None,
            hidden_sizes=(120, 84),
        )
    if args.algorithm == "pqn":
        return jaxrl.PQNConfig(num_envs=args.num_envs)
    return jaxrl.SACConfig(
        num_envs=args.num_envs,
        buffer_size=args.buffer_size,
        batch_size=256,
        replay_ratio=1 / args.num_envs,
        learning_starts=1000,
        hidden_sizes=(64, 64),
    )


def main() -> None:
    args = arguments()
    jaxrl.use_cores(args.seeds, config(args))  # as `jaxrl train` does
    env, params = jaxrl.make(ENVS[args.algorithm])
    build = {"ppo": jaxrl.ppo, "dqn": jaxrl.dqn, "pqn": jaxrl.pqn, "sac": jaxrl.sac}
    algorithm = build[args.algorithm](env, config(args))
    train = jaxrl.make_train(algorithm, args.total_steps)
    updates = -(-args.total_steps // algorithm.steps_per_update)

    def run(key: Any) -> Any:
        return train(jax.random.wrap_key_data(key), params)

    def last_return(out: Any) -> float:
        # A point at which no episode ended is NaN.
        return float(np.nanmean(out[1]["episode/return"][..., -10:]))

    clock_jax(
        run,
        last_return,
        updates * algorithm.steps_per_update,
        args,
        {"jaxrl": jaxrl.__version__},
        # As `jaxrl train` has them: shared out among the cores.
        lambda train: partial(over_seeds, train, mesh=seed_mesh(args.seeds)),
    )


if __name__ == "__main__":
    main()
