"""rejax's PPO on CartPole-v1: one measurement as a line of JSON."""

import argparse
import importlib.metadata
import json
import resource
import time


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--num-envs", type=int, required=True)
    parser.add_argument("--total-steps", type=int, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    import jax
    from rejax import PPO

    steps = args.total_steps // (args.num_envs * 128) * args.num_envs * 128
    algorithm = PPO.create(
        env="CartPole-v1",
        num_envs=args.num_envs,
        num_steps=128,
        num_epochs=4,
        num_minibatches=4,
        learning_rate=2.5e-4,
        ent_coef=0.01,
        max_grad_norm=0.5,
        total_timesteps=steps,
        eval_freq=steps,
        skip_initial_evaluation=True,
        agent_kwargs={"activation": "tanh", "hidden_layer_sizes": (64, 64)},
    )
    run = jax.jit(algorithm.train)
    key = jax.random.PRNGKey(0)
    began = time.perf_counter()
    program = run.lower(key).compile()
    compiled = time.perf_counter() - began
    rates = []
    for _ in range(args.repeats):
        began = time.perf_counter()
        _, (_, returns) = jax.block_until_ready(program(key))
        rates.append(steps / (time.perf_counter() - began))
    print(
        json.dumps(
            {
                "steps_per_second": rates,
                "compile_seconds": compiled,
                "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "last_return": float(returns[-1].mean()),
                "versions": {
                    "rejax": importlib.metadata.version("rejax"),
                    "jax": jax.__version__,
                },
            }
        )
    )


if __name__ == "__main__":
    main()
