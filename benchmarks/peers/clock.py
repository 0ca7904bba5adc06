"""What every contestant's script shares: its arguments, the clock, and the line that it prints."""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from typing import Any

ENVS = {"ppo": "CartPole-v1", "dqn": "CartPole-v1", "pqn": "CartPole-v1", "sac": "Pendulum-v1"}
"""Algorithm to the environment that it is measured on."""


def arguments() -> argparse.Namespace:
    """The sizes of one measurement, the same for all contestants."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--algorithm", choices=ENVS, required=True)
    parser.add_argument("--num-envs", type=int, required=True)
    parser.add_argument("--seeds", type=int, required=True)
    parser.add_argument("--buffer-size", type=int, required=True)
    parser.add_argument("--total-steps", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    parser.add_argument("--checkout", help="where the contestant is no package: its source")
    return parser.parse_args()


def clock_jax(
    train: Callable[[Any], Any],
    last_return: Callable[[Any], float],
    steps: int,
    args: argparse.Namespace,
    versions: dict[str, str],
    over_seeds: Callable[..., Any] | None = None,
) -> None:
    """Measures a jitted `train(key)`, of several seeds under a `vmap`, or as `over_seeds` has them.

    `steps` are those that one call really takes per seed: contestants round to whole updates,
    each in its own direction.
    """
    import jax

    # Old-style keys: PureJaxRL's and rejax's code was written for them.
    keys = jax.random.split(jax.random.PRNGKey(0), args.seeds)
    several = args.seeds > 1
    run = jax.jit((over_seeds or jax.vmap)(train) if several else train)
    key = keys if several else keys[0]
    began = time.perf_counter()
    program = run.lower(key).compile()
    compiled = time.perf_counter() - began
    rates = []
    for _ in range(args.repeats):
        began = time.perf_counter()
        out = jax.block_until_ready(program(key))
        rates.append(steps * args.seeds / (time.perf_counter() - began))
    tell(rates, compiled, last_return(out), versions | {"jax": jax.__version__})


def tell(
    rates: list[float], compile_seconds: float, last_return: float, versions: dict[str, str]
) -> None:
    """Prints one measurement as a line of JSON."""
    line = {
        "steps_per_second": rates,
        "compile_seconds": compile_seconds,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "last_return": last_return,
        "versions": versions,
    }
    print(json.dumps(line))
