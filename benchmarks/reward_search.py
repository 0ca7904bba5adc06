"""The work of ActionVLM's §4.4 without the model: 7 × 3 candidates, 300k steps of PPO each.

Ours is a whole search with the grammar as its author: proposing, examining, compiling, training,
30 evaluations of every candidate and the final selection, in a process that begins with nothing
compiled. Stable-Baselines3, which the paper used, trains one candidate for a slice of its steps, in
an environment of its own under `.cache/benchmarks`; that slice is scaled to 21 candidates of 300k
steps, its evaluations not counted. The two take turns, so that a busy machine is busy for both, and
the processor's seconds are there beside those of the clock.

    python benchmarks/reward_search.py                 speed, one seed and five, beside SB3
    python benchmarks/reward_search.py fitness         the grammar's best fitness, 5 repeats

Lines go to `benchmarks/results/reward_search.jsonl`, and the table in `benchmarks/README.md` is
made from them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from report import write_report
from throughput import commit, python_for

from jaxrl.run.machine import machine

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "reward_search.jsonl"
CANDIDATES, STEPS = 21, 300_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", nargs="?", choices=["speed", "fitness"], default="speed")
    parser.add_argument("--slice", type=int, default=20_480, help="SB3's steps, three times")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=5, help="of each candidate, for fitness")
    args = parser.parse_args()
    run = time.strftime("%Y-%m-%dT%H:%M:%S")
    about = {"run": run, "date": str(date.today()), "commit": commit(), "machine": machine()}
    rows = speed(args.slice) if args.what == "speed" else fitness(args.repeats, args.seeds)
    with RESULTS.open("a") as file:
        for row in rows:
            file.write(json.dumps(row | about) + "\n")
    write_report()


def speed(steps: int) -> list[dict[str, Any]]:
    """One seed, five seeds, and slices of SB3 before, between and after."""
    peers, ours = [], []
    for seeds in (1, 5):
        peers.append(_sb3(steps))
        row = _measured(sys.executable, "search_ours.py", "--seeds", str(seeds))
        ours.append({"kind": "speed", "contestant": "jaxrl", "seeds": seeds, **row})
        print(f"jaxrl, {seeds} seeds: {row['wall_seconds']:.0f} s", flush=True)
    peers.append(_sb3(steps))
    total = CANDIDATES * STEPS
    sb3 = {
        "kind": "speed",
        "contestant": "sb3",
        "seeds": 1,
        "slice": steps,
        "slices": [peer["steps_per_second"] for peer in peers],
        "wall_seconds": total / statistics.median(p["steps_per_second"] for p in peers),
        "processor_seconds": total
        * statistics.median(p["processor_seconds"] / p["steps"] for p in peers),
        "versions": peers[0]["versions"],
    }
    return [sb3, *ours]


def _sb3(steps: int) -> dict[str, Any]:
    peer = _measured(str(python_for("sb3")), "search_sb3.py", "--steps", str(steps))
    print(f"sb3: {peer['steps_per_second']:,.0f} steps/s", flush=True)
    return peer


def _measured(python: str, script: str, *arguments: str) -> dict[str, Any]:
    """A process's measurement. What was compiled in earlier ones is kept from it."""
    kept = ("JAX_COMPILATION_CACHE_DIR", "PYTHONPATH")
    env = {name: value for name, value in os.environ.items() if name not in kept}
    if python == sys.executable:
        env["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), str(HERE.parent / "envs")])
    command = [python, str(HERE / "peers" / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def fitness(repeats: int, seeds: int) -> list[dict[str, Any]]:
    """What the grammar's winners are worth on held-out rollouts, search by search."""
    import jaxrl
    from jaxrl.search import Grammar, Settings, Task
    from jaxrl.search.compare import repeat

    task = Task.of(*jaxrl.make("CartPoleSwing-v0"))
    settings = Settings(seeds=seeds, films=False)
    results = repeat(
        task,
        lambda folder, index: Grammar(task.schema, index, task.steps),
        settings,
        Path(tempfile.mkdtemp()),
        repeats,
        say=lambda text: print(text, flush=True),
    )
    best = [
        [None if i.best is None else i.candidates[i.best].score for i in r.history] for r in results
    ]
    return [
        {
            "kind": "fitness",
            "seeds": seeds,
            "held_out": [result.score for result in results],
            "best_of_iterations": best,
            "preflight": [list(result.preflight) for result in results],
            "programs": [result.program for result in results],
        }
    ]


if __name__ == "__main__":
    main()
