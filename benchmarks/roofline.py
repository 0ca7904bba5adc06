"""What every training step must do, the machine's peaks, and which of them bounds the step.

    python benchmarks/roofline.py            PPO, DQN, SAC, PQN and bare environments
    python benchmarks/roofline.py --quick    the smallest size of each

Operations and bytes are counted from the step's jaxpr, with the bodies of loops multiplied, and
kernels from the compiled program (`work.py`); XLA's own analysis, which counts a body once, is
kept in the lines beside it. The peaks are measured here: a large product of float32 matrices, a
large copy, and a loop of kernels that do next to nothing, which shows what starting one costs.
Settings are those of `throughput.py`.

Lines go to `benchmarks/results/roofline.jsonl`, and the table in `benchmarks/README.md` is made
from the last run in it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from report import write_report
from throughput import commit
from work import kernels, work_of

import jaxrl
from jaxrl import rewards
from jaxrl.run.machine import machine
from jaxrl.update import Carry, initial_carry, make_update, run_updates
from jaxrl.vector import rollout, vectorize

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "peers"))
from clock import ENVS  # noqa: E402
from ours import config  # noqa: E402

RESULTS = HERE / "results" / "roofline.jsonl"
STEPS = {"ppo": (4, 64, 2048), "dqn": (10,), "sac": (1,), "pqn": (128,)}
"""Algorithm to its numbers of environments."""
BUFFER = 10_000
WARM_UP = 1_000
"""Steps before the measured update: replays must have begun to learn."""
LOOPED, STEPS_A_CALL = 256, 4_096
"""At most so many updates, and about so many environment steps, in a timed call."""
STEPPING = {"CartPole-v1": (64, 8192), "Pendulum-v1": (64, 8192)}
ROLLOUT = 128
PRODUCT = {"cpu": 2048, "gpu": 8192}
COPY_BYTES = {"cpu": 2**28, "gpu": 2**31}
TINY_ROUNDS = 20_000
ROUND_SECONDS = 0.3
"""A step is repeated within a round until a round takes this long."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--algorithms", nargs="*", choices=STEPS, default=list(STEPS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="in one program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="the smallest size of each")
    args = parser.parse_args()
    run = time.strftime("%Y-%m-%dT%H:%M:%S")
    about = {"run": run, "date": str(date.today()), "commit": commit(), "machine": machine()}

    def note(**measured: Any) -> None:
        with RESULTS.open("a") as file:
            file.write(json.dumps({**measured, **about}) + "\n")
        print({name: value for name, value in measured.items() if name != "rounds"}, flush=True)

    note(kind="machine", **peaks(args.rounds))
    for name in args.algorithms:
        for num_envs in STEPS[name][: 1 if args.quick else None]:
            for seeds in args.seeds:
                note(kind="step", **update_step(name, num_envs, seeds, args.rounds))
    for name, sizes in STEPPING.items():
        for num_envs in sizes[: 1 if args.quick else None]:
            note(kind="step", **environment_step(name, num_envs, args.rounds))
    write_report()


def timed(call: Callable[[], Any], rounds: int) -> list[float]:
    """Seconds of one call in every round, calls repeated until a round is long enough."""
    call()
    began = time.perf_counter()
    call()
    repeats = max(1, round(ROUND_SECONDS / (time.perf_counter() - began)))
    each = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(repeats):
            call()
        each.append((time.perf_counter() - began) / repeats)
    return each


def peaks(rounds: int) -> dict[str, Any]:
    """The machine's measured peaks, each the best of the rounds."""
    kind = "cpu" if jax.default_backend() == "cpu" else "gpu"
    size, copied = PRODUCT[kind], COPY_BYTES[kind]
    square = jnp.full((size, size), 1e-3, jnp.float32)
    # In full float32, as training on a CPU, where that is the default and asking for it by name
    # gets another, slower kernel; an accelerator's shorter formats are faster.
    precision = None if kind == "cpu" else "highest"
    multiply = jax.jit(lambda x: jnp.matmul(x, x, precision=precision))
    product = min(timed(lambda: multiply(square).block_until_ready(), rounds))
    copy = min(timed(_in_place(copied), rounds))

    @jax.jit
    def tiny(x: Any) -> Any:
        return jax.lax.fori_loop(0, TINY_ROUNDS, lambda _, x: jnp.tanh(x @ x), x)

    small = jnp.eye(8)
    started = kernels(tiny.lower(small).compile().as_text())
    seconds = min(timed(lambda: tiny(small).block_until_ready(), rounds))
    return {
        "product_size": size,
        "flops_per_second": 2 * size**3 / product,
        "copy_bytes": copied,
        "bytes_per_second": 2 * copied / copy,
        "tiny_rounds": TINY_ROUNDS,
        "seconds_per_round": seconds / TINY_ROUNDS,
        "seconds_per_kernel": seconds / started,
    }


def _in_place(num_bytes: int) -> Callable[[], Any]:
    """Reads and writes that many bytes; in place, since fresh memory is slow when first touched."""
    long = jnp.zeros(num_bytes // 4, jnp.float32)
    add = jax.jit(lambda x: x + 1, donate_argnums=0)

    def call() -> None:
        nonlocal long
        long = add(long).block_until_ready()

    return call


def update_step(name: str, num_envs: int, seeds: int, rounds: int) -> dict[str, Any]:
    """One update of an algorithm: what it must do, and what it takes."""
    sizes = {"algorithm": name, "num_envs": num_envs, "buffer_size": BUFFER}
    env, params = jaxrl.make(ENVS[name])
    build = {"ppo": jaxrl.ppo, "dqn": jaxrl.dqn, "sac": jaxrl.sac, "pqn": jaxrl.pqn}[name]
    algorithm = build(env, config(argparse.Namespace(**sizes)))
    source = rewards.environment()
    update = make_update(algorithm, source)
    warm_up = -(-2 * WARM_UP // algorithm.steps_per_update) if name in ("dqn", "sac") else 1
    keys = jax.random.split(jax.random.key(0), seeds)

    @jax.jit
    def start(keys: Any) -> Carry:
        return initial_carry(algorithm, source, keys, params, 10**6)

    carry = start(keys)
    step = jax.jit(lambda carry: update(carry)[0], donate_argnums=0)
    program = step.lower(carry).compile()
    # The loop over gradient steps, of which these settings ask one an update. Where starts are
    # drawn by need (`jaxrl.restarts`) a round of them counts too: next to nothing.
    work = work_of(lambda carry: update(carry)[0], carry, unknown_rounds=1)
    # Timed as training runs it: looped on the device, not called from the host one by one.
    looped = max(1, min(LOOPED, STEPS_A_CALL // algorithm.steps_per_update))
    chunk = jax.jit(lambda carry, n: run_updates(update, carry, n)[0], donate_argnums=0)
    carry = chunk(carry, warm_up)

    def call() -> None:
        nonlocal carry
        carry = jax.block_until_ready(chunk(carry, looped))

    return {
        "step": name.upper(),
        "num_envs": num_envs,
        "seeds": seeds,
        "env_steps": algorithm.steps_per_update * seeds,
        **counted(work, program),
        **clocked(call, rounds, looped),
    }


def environment_step(name: str, num_envs: int, rounds: int) -> dict[str, Any]:
    """A rollout of a bare environment, with one action repeated."""
    env, params = jaxrl.make(name)
    venv = vectorize(env, num_envs)
    action = env.action_space(params).sample(jax.random.key(0))
    actions = jnp.broadcast_to(action, (num_envs, *jnp.shape(action)))

    def play(state: Any, key: Any) -> Any:
        state, trajectory = rollout(
            venv, params, state, lambda _: (), lambda obs, _: (actions, ()), key, ROLLOUT
        )
        return state, trajectory.reward.sum()

    state, key = jax.jit(venv.reset)(jax.random.key(0), params), jax.random.key(1)
    program = jax.jit(play).lower(state, key).compile()
    return {
        "step": f"{name}, {ROLLOUT} steps",
        "num_envs": num_envs,
        "seeds": 1,
        "env_steps": num_envs * ROLLOUT,
        # Starts drawn by need are not counted: few episodes end in so many steps.
        **counted(work_of(play, state, key, unknown_rounds=0), program),
        **clocked(lambda: jax.block_until_ready(program(state, key)), rounds),
    }


def counted(work: Any, program: Any) -> dict[str, Any]:
    """What a program must do by our count, and by XLA's analysis, which counts loops once."""
    analysis = program.cost_analysis() or {}
    return {
        **work._asdict(),
        "kernels": kernels(program.as_text()),
        "xla_flops": analysis.get("flops"),
        "xla_bytes": analysis.get("bytes accessed"),
    }


def clocked(call: Callable[[], Any], rounds: int, steps: int = 1) -> dict[str, Any]:
    """The median of the rounds, and all of them; a call makes that many steps."""
    each = [seconds / steps for seconds in timed(call, rounds)]
    return {"seconds": statistics.median(each), "rounds": each}


if __name__ == "__main__":
    main()
