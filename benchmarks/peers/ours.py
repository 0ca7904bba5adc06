"""jaxrl's PPO on CartPole-v1: one measurement as a line of JSON."""

import argparse
import json
import resource
import time

import jax

import jaxrl


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--num-envs", type=int, required=True)
    parser.add_argument("--total-steps", type=int, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    env, params = jaxrl.make("CartPole-v1")
    config = jaxrl.PPOConfig(
        num_envs=args.num_envs,
        num_steps=128,
        update_epochs=4,
        num_minibatches=4,
        learning_rate=2.5e-4,
        learning_rate_final=0.0,
        ent_coef=0.01,
        clip_eps_vf=0.2,
    )
    algorithm = jaxrl.ppo(env, config)
    run = jax.jit(jaxrl.make_train(algorithm, args.total_steps))
    key = jax.random.key(0)
    began = time.perf_counter()
    program = run.lower(key, params).compile()
    compiled = time.perf_counter() - began
    # Both sides round to whole updates, each in its own direction: count what was run.
    updates = -(-args.total_steps // algorithm.steps_per_update)
    rates = []
    for _ in range(args.repeats):
        began = time.perf_counter()
        _, curves = jax.block_until_ready(program(key, params))
        rates.append(updates * algorithm.steps_per_update / (time.perf_counter() - began))
    print(
        json.dumps(
            {
                "steps_per_second": rates,
                "compile_seconds": compiled,
                "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "last_return": float(curves["episode/return"][-1]),
                "versions": {"jaxrl": jaxrl.__version__, "jax": jax.__version__},
            }
        )
    )


if __name__ == "__main__":
    main()
