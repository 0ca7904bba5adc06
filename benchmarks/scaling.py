"""Steps per second of PPO against environments, seeds and devices.

    python benchmarks/scaling.py                       all three
    python benchmarks/scaling.py --quick               few sizes, for a look
    python benchmarks/scaling.py --axes seeds --seeds 1 64 4096

One update is timed, again and again, after compiling, on CartPole-v1. Each axis starts from the
same small run: `--axes envs` gives one seed more environments, `seeds` runs more seeds of four
environments and small networks, `devices` spreads the seeds over devices (those that there are, or
as many as the processor has cores, forced on the host in a process of their own).

A point is left out, and says so, where XLA says that its program needs more memory than is free, or
where, going by the point before it, it would take longer than its budget.

Lines go to `benchmarks/results/scaling.jsonl`, and the table in `benchmarks/README.md` and the plot
in `benchmarks/results/scaling.png` are made from the last run in it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh, PartitionSpec
from report import write_report
from throughput import commit

import jaxrl
from jaxrl import rewards
from jaxrl.run.machine import available_memory_bytes, machine
from jaxrl.update import Carry, initial_carry, make_update

RESULTS = Path(__file__).parent / "results" / "scaling.jsonl"
PLOT = RESULTS.with_suffix(".png")
AXES = {
    "num_envs": (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536),
    "seeds": (1, 8, 64, 512, 2048),
    "devices": (1, 2, 4, 8),
}
QUICK = {"num_envs": (1, 64, 1024), "seeds": (1, 8), "devices": (1, 2)}
SEEDS_OVER_DEVICES = 64
"""Seeds that are spread over devices; every number of devices must divide it."""
NUM_STEPS = 32
SMALL = (16, 16)
"""Hidden sizes where it is the number of seeds that grows."""
ENVS_OF_SEEDS = 4
ROUND_SECONDS = 0.5
MEMORY_SHARE = 0.8
"""Part of the free memory that a program may want."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--axes", nargs="+", choices=AXES, default=list(AXES))
    for axis in AXES:
        name = axis.replace("_", "-")
        parser.add_argument(f"--{name}", type=int, nargs="+", help="default: up to the largest")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=40.0, help="seconds that a point may take")
    parser.add_argument("--quick", action="store_true", help="few sizes")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        axis, *sizes = args.one
        print(json.dumps(point(axis, *map(int, sizes), args)))
        return
    run = time.strftime("%Y-%m-%dT%H:%M:%S")
    about = {"run": run, "date": str(date.today()), "commit": commit(), "machine": machine()}
    for axis in args.axes:
        sizes = getattr(args, axis) or (QUICK if args.quick else AXES)[axis]
        along(axis, sizes if axis != "devices" else possible(sizes), args, about)
    draw(last_run())
    write_report()


def possible(devices: list[int] | tuple[int, ...]) -> list[int]:
    """The numbers of devices that there are, or that the cores of a processor can stand for."""
    most = jax.local_device_count()
    if jax.default_backend() == "cpu":
        most = max(most, os.cpu_count() or 1)
    return [count for count in devices if count <= most]


def along(axis: str, sizes: Any, args: argparse.Namespace, about: dict[str, Any]) -> None:
    """Measures one axis, from small to large, and writes a line for every point."""
    before: dict[str, Any] | None = None
    for size in sorted(sizes):
        shape = {"num_envs": 1, "seeds": 1, "devices": 1}
        if axis != "num_envs":
            shape["num_envs"] = ENVS_OF_SEEDS
        if axis == "devices":
            shape["seeds"] = SEEDS_OVER_DEVICES
        shape[axis] = size
        found = left_out(shape, before, args)
        if found is None and axis == "devices" and jax.default_backend() == "cpu":
            found = elsewhere(axis, shape, args)
        found = found or point(axis, *shape.values(), args)
        row = {"axis": axis, **shape, **found, **about}
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        told = f"{found['rate']:,.0f} steps/s" if "rate" in found else f"left out: {found}"
        print(f"{axis:9} {shape}  {told}", flush=True)
        before = row if "rate" in found else before


def left_out(
    shape: dict[str, int], before: dict[str, Any] | None, args: argparse.Namespace
) -> dict[str, Any] | None:
    """Why a point is not measured: it would take too long, going by the rate of the one before."""
    if before is None:
        return None
    steps = shape["num_envs"] * shape["seeds"] * NUM_STEPS
    # One update to warm up, then the rounds; compiling takes as long as before, or longer.
    seconds = (args.rounds + 1) * steps / before["rate"] + before["compile_seconds"]
    if seconds <= args.budget:
        return None
    return {"left_out": f"about {seconds:.0f} s, the budget is {args.budget:.0f} s"}


def elsewhere(axis: str, shape: dict[str, int], args: argparse.Namespace) -> dict[str, Any]:
    """A point in a process of its own, which has as many devices as the point needs."""
    flags = os.environ.get("XLA_FLAGS", "")
    forced = {
        "XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count={shape['devices']}".strip()
    }
    sizes = [str(size) for size in shape.values()]
    words = [sys.executable, __file__, "--rounds", str(args.rounds), "--one", axis, *sizes]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | forced)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def point(
    axis: str, num_envs: int, seeds: int, devices: int, args: argparse.Namespace
) -> dict[str, Any]:
    """One point: the rate of all seeds together, memory and compile time, or why it is left out."""
    config = jaxrl.PPOConfig(
        num_envs=num_envs,
        num_steps=NUM_STEPS,
        hidden_sizes=(64, 64) if axis == "num_envs" else SMALL,
    )
    env, params = jaxrl.make("CartPole-v1")
    algorithm, source = jaxrl.ppo(env, config), rewards.environment()
    update = make_update(algorithm, source)
    keys = jax.random.split(jax.random.key(0), seeds)

    def start(keys: Any) -> Carry:
        return initial_carry(algorithm, source, keys, params, 10**6)

    def step(carry: Carry) -> Carry:
        return update(carry)[0]

    if devices > 1:
        # Every device has whole seeds, which have nothing to tell each other. The environment's
        # reward has no state that they could share.
        by_seed = PartitionSpec("seeds")
        mesh = Mesh(jax.local_devices()[:devices], ("seeds",))
        over_seeds = partial(
            jax.shard_map, mesh=mesh, in_specs=by_seed, out_specs=by_seed, check_vma=False
        )
        start, step = over_seeds(start), over_seeds(step)
    start = jax.jit(start)
    began = time.perf_counter()
    program = jax.jit(step, donate_argnums=0).lower(jax.eval_shape(start, keys)).compile()
    compiled = time.perf_counter() - began
    needed, free = memory_of(program) * devices, available_memory_bytes()
    if free is not None and needed > MEMORY_SHARE * free:
        return {"left_out": f"needs {needed / 1e9:.1f} GB of {free / 1e9:.1f} GB that are free"}
    rates = measure(program, start(keys), algorithm.steps_per_update * seeds, args.rounds)
    return {
        "rate": statistics.median(rates),
        "rates": rates,
        "compile_seconds": compiled,
        "memory_bytes": needed,
    }


def memory_of(program: Any) -> int:
    """Bytes that a program takes on each device, by XLA's own account."""
    needs = program.memory_analysis()
    arguments = needs.argument_size_in_bytes - needs.alias_size_in_bytes
    return arguments + needs.output_size_in_bytes + needs.temp_size_in_bytes


def measure(program: Any, carry: Any, steps: int, rounds: int) -> list[float]:
    """Steps per second in every round; the first update is not counted."""
    began = time.perf_counter()
    carry = jax.block_until_ready(program(carry))
    repeats = max(1, round(ROUND_SECONDS / (time.perf_counter() - began)))
    rates = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(repeats):
            carry = program(carry)
        jax.block_until_ready(carry)
        rates.append(repeats * steps / (time.perf_counter() - began))
    return rates


def last_run() -> list[dict[str, Any]]:
    """The lines of the last run."""
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return [row for row in rows if row["run"] == rows[-1]["run"]]


def draw(rows: list[dict[str, Any]]) -> None:
    """One panel an axis: steps per second of all together, and what proportion would be."""
    from matplotlib.figure import Figure

    axes = list(dict.fromkeys(row["axis"] for row in rows if "rate" in row))
    names = {"num_envs": "environments", "seeds": "seeds", "devices": "devices"}
    figure = Figure(figsize=(4 * len(axes), 3.4), layout="constrained")
    panels = figure.subplots(1, len(axes), squeeze=False)[0]
    for panel, axis in zip(panels, axes, strict=True):
        here = [row for row in rows if row["axis"] == axis and "rate" in row]
        sizes, rates = [row[axis] for row in here], [row["rate"] for row in here]
        panel.plot(sizes, rates, "o-", color="#1b6ca8", label="measured")
        ideal = [rates[0] * size / sizes[0] for size in sizes]
        panel.plot(sizes, ideal, ":", color="#888888", label="in proportion")
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_ylim(min(rates) / 2, max(rates) * 3)
        panel.set_xlabel(names[axis])
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("environment steps/s, all together")
    panels[0].legend(frameon=False)
    figure.savefig(PLOT, dpi=120)


if __name__ == "__main__":
    main()
