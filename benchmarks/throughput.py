"""Environment steps per second of training, ours beside the peers', in one run.

Each contestant runs in a process and a virtual environment of its own, which this script makes
under `.cache/benchmarks`, with the same settings: those of `peers/`, where each contestant's are
written by its own names. Contestants take turns, so that a noisy machine is noisy for all; what
counts are medians, and ratios within one run. Compiling is told apart.

    python benchmarks/throughput.py                               PPO: ours and rejax
    python benchmarks/throughput.py --peers rejax sb3 --purejaxrl CHECKOUT --algorithms ppo dqn sac
    python benchmarks/throughput.py --algorithms dqn --buffer-size 1000 10000 500000

Lines go to `benchmarks/results/throughput.jsonl`, and the tables in `benchmarks/README.md` are made
from each algorithm's last run in it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from report import write_report

from jaxrl.run.machine import machine

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "throughput.jsonl"
VENVS = HERE.parent / ".cache" / "benchmarks"

NEEDS = {
    "rejax": ["rejax==0.1.3", "gymnax==0.0.9", "jax==0.10.2", "jaxlib==0.10.2"],
    "purejaxrl": [
        *("gymnax==0.0.9", "jax==0.10.2", "jaxlib==0.10.2"),
        *("distrax", "brax", "navix", "flashbax", "wandb"),
    ],
    "sb3": ["stable-baselines3", "torch==2.13.0"],
}
SCRIPTS = {
    "jaxrl": "ours.py",
    "rejax": "rejax_peer.py",
    "purejaxrl": "purejaxrl_peer.py",
    "sb3": "sb3_peer.py",
}


class Task(NamedTuple):
    """What is measured of an algorithm where nothing else is asked."""

    num_envs: tuple[int, ...]
    total_steps: int
    buffer_size: tuple[int, ...]
    peers: tuple[str, ...]


TASKS = {
    "ppo": Task((4, 64), 500_000, (0,), ("purejaxrl", "rejax", "sb3")),
    "dqn": Task((10,), 100_000, (10_000,), ("purejaxrl", "rejax", "sb3")),
    "sac": Task((1,), 10_000, (10_000,), ("rejax", "sb3")),
    "pqn": Task((128,), 500_000, (0,), ()),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--algorithms", nargs="+", choices=TASKS, default=["ppo"])
    parser.add_argument("--num-envs", type=int, nargs="+", help="default each algorithm's")
    parser.add_argument("--seeds", type=int, nargs="+", help="in one program; default 1")
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=size_of,
        metavar="ENVSxSEEDS",
        help="pairs such as 4x8, instead of all pairs of the two above",
    )
    parser.add_argument("--buffer-size", type=int, nargs="+", help="default each algorithm's")
    parser.add_argument("--total-steps", type=int, help="of each seed; default each algorithm's")
    parser.add_argument("--rounds", type=int, default=5, help="processes per contestant and size")
    parser.add_argument("--repeats", type=int, default=3, help="runs within a process")
    parser.add_argument("--limit", type=float, default=1800, help="seconds that a process may take")
    parser.add_argument("--peers", nargs="*", choices=["rejax", "sb3"], default=["rejax"])
    parser.add_argument("--purejaxrl", type=Path, help="a checkout of PureJaxRL")
    args = parser.parse_args()
    if args.sizes and (args.num_envs or args.seeds):
        parser.error("--sizes are instead of --num-envs and --seeds: give those or these.")
    wanted = ["jaxrl", *(["purejaxrl"] if args.purejaxrl else []), *args.peers]
    pythons = {name: python_for(name) for name in wanted}
    run = time.strftime("%Y-%m-%dT%H:%M:%S")
    about = {"run": run, "date": str(date.today()), "commit": commit(), "machine": machine()}
    for algorithm in args.algorithms:
        task = TASKS[algorithm]
        contestants = [name for name in wanted if name in ("jaxrl", *task.peers)]
        pairs = args.sizes or itertools.product(args.num_envs or task.num_envs, args.seeds or [1])
        sizes = itertools.product(pairs, args.buffer_size or task.buffer_size)
        for (num_envs, seeds), buffer_size in sizes:
            size = {
                "algorithm": algorithm,
                "num_envs": num_envs,
                "seeds": seeds,
                "buffer_size": buffer_size,
                "total_steps": args.total_steps or task.total_steps,
            }
            for turn, name in itertools.product(range(args.rounds), contestants):
                if name == "sb3" and (turn > 0 or seeds > 1):
                    continue  # orders of magnitude behind, and one seed at a time: once is enough
                measured = measure(command(name, pythons[name], size, args), args.limit)
                row = {"contestant": name, **size, **measured, **about}
                with RESULTS.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                rate = statistics.median(measured["steps_per_second"])
                print(f"{name:10} {size}  {rate:12,.0f} steps/s", flush=True)
    write_report()


def size_of(words: str) -> tuple[int, int]:
    """`"4x8"`: environments, seeds."""
    num_envs, _, seeds = words.partition("x")
    if not (num_envs.isdecimal() and seeds.isdecimal()):
        raise argparse.ArgumentTypeError(f"{words!r} is no pair of environments and seeds like 4x8")
    return int(num_envs), int(seeds)


def command(name: str, python: Path, size: dict[str, Any], args: argparse.Namespace) -> list[str]:
    """What starts one contestant at one size."""
    words = [str(python), str(HERE / "peers" / SCRIPTS[name]), "--repeats", str(args.repeats)]
    for option, value in size.items():
        words += [f"--{option.replace('_', '-')}", str(value)]
    return words + (["--checkout", str(args.purejaxrl)] if name == "purejaxrl" else [])


def python_for(name: str) -> Path:
    """The interpreter of a contestant's own environment, made if it is not there."""
    if name == "jaxrl":
        return Path(sys.executable)
    folder = VENVS / name
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *NEEDS[name]], check=True)
        (folder / "ready").touch()
    return python


def measure(command: list[str], limit: float, tries: int = 3) -> dict[str, Any]:
    """One process's measurement; `hung` of it are those before it that did not end in time.

    Such a process is killed and begun anew. PureJaxRL's networks start from LAPACK's QR, and two of
    those at once can wait for each other for ever inside jaxlib (see `jaxrl.networks.orthogonal`).

    Args:
        command: what starts it.
        limit: seconds that it may take.
        tries: how often it is begun.
    """
    for hung in range(tries):
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                env=os.environ | {"PYTHONPATH": ""},
                timeout=limit,
            )
        except subprocess.TimeoutExpired:
            print(f"not done in {limit:g} s, and killed: {' '.join(command)}", flush=True)
            continue
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1]) | ({"hung": hung} if hung else {})
    raise SystemExit(f"{' '.join(command)} was not done in {limit:g} s, {tries} times")


def commit() -> str:
    """The commit that is measured, marked where code has changed since; results are not code."""

    def git(*arguments: str) -> str:
        run = subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True)
        return run.stdout.strip()

    changed = git("status", "--porcelain", "--", ":/", ":!/benchmarks/results", ":!/*.md")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + "-dirty" * bool(changed)


if __name__ == "__main__":
    main()
