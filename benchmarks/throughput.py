"""Environment steps per second of PPO on CartPole-v1, ours beside the peers', in one run.

Each contestant runs in a process and a virtual environment of its own, which this script makes
under `.cache/benchmarks`, with the same settings: 128 steps, 4 epochs of 4 minibatches, two 64-64
tanh networks, annealed Adam. Contestants take turns, so that a noisy machine is noisy for all;
what counts are medians, and ratios within one run. Compiling is told apart.

    python benchmarks/throughput.py                               ours and rejax
    python benchmarks/throughput.py --peers rejax sb3 --purejaxrl CHECKOUT

Lines go to `benchmarks/results/throughput.jsonl`, and the table in `benchmarks/README.md` is made
from the last run in it.
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
from pathlib import Path
from typing import Any

from report import write_report

from jaxrl.run.machine import machine

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "throughput.jsonl"
VENVS = HERE.parent / ".cache" / "benchmarks"

NEEDS = {
    "rejax": ["rejax==0.1.3", "gymnax==0.0.9", "jax==0.10.2", "jaxlib==0.10.2"],
    "purejaxrl": ["gymnax==0.0.9", "jax==0.10.2", "jaxlib==0.10.2", "distrax", "brax", "navix"],
    "sb3": ["stable-baselines3", "torch==2.13.0"],
}
SCRIPTS = {
    "jaxrl": "ours.py",
    "rejax": "rejax_ppo.py",
    "purejaxrl": "purejaxrl.py",
    "sb3": "sb3.py",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--num-envs", type=int, nargs="+", default=[4, 64])
    parser.add_argument("--total-steps", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5, help="processes per contestant and size")
    parser.add_argument("--peers", nargs="*", choices=["rejax", "sb3"], default=["rejax"])
    parser.add_argument("--purejaxrl", type=Path, help="a checkout of PureJaxRL")
    args = parser.parse_args()
    contestants = ["jaxrl", *(["purejaxrl"] if args.purejaxrl else []), *args.peers]
    pythons = {name: python_for(name) for name in contestants}
    run = time.strftime("%Y-%m-%dT%H:%M:%S")
    about = {"run": run, "date": str(date.today()), "commit": commit(), "machine": machine()}
    for size in args.num_envs:
        for turn in range(args.rounds):
            for name in contestants:
                if name == "sb3" and turn > 0:
                    continue  # two orders of magnitude behind: once is enough
                command = [str(pythons[name]), str(HERE / "peers" / SCRIPTS[name])]
                command += ["--num-envs", str(size), "--total-steps", str(args.total_steps)]
                if name == "purejaxrl":
                    command += ["--checkout", str(args.purejaxrl)]
                measured = measure(command)
                row = {"contestant": name, "num_envs": size, **measured, **about}
                with RESULTS.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                rate = statistics.median(measured["steps_per_second"])
                print(f"{name:10} {size:5} envs  {rate:12,.0f} steps/s", flush=True)
    write_report()


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


def measure(command: list[str]) -> dict[str, Any]:
    """One process's measurement."""
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ""}
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def commit() -> str:
    """The commit that is measured, marked where code has changed since; results are not code."""

    def git(*arguments: str) -> str:
        run = subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True)
        return run.stdout.strip()

    changed = git("status", "--porcelain", "--", ":/", ":!/benchmarks/results", ":!/*.md")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + "-dirty" * bool(changed)


if __name__ == "__main__":
    main()
