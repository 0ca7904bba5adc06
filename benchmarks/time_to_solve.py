"""Seconds from starting the command until PPO has solved CartPole, imports and compiling included.

    python benchmarks/time_to_solve.py                          one seed and ten, cold and warm
    python benchmarks/time_to_solve.py --peers rejax sb3        beside the peers, for scale

What is timed is `jaxrl train ppo CartPole-v1 --stop-at-threshold` in a process of its own, from
before it is started until every seed has an evaluation in the run's `metrics.jsonl` that reaches
the preset's threshold. Cold: the user's cache of compiled programs is an empty folder. Warm: the
same folder again. Python's bytecode is cached in both, as it is after an installation.

A peer has no evaluation that could stop it: its process is timed from its start until it has done
as many steps as our preset's run has, with the settings of `throughput.py`.

Lines go to `benchmarks/results/time_to_solve.jsonl`, and the table in `benchmarks/README.md` is
made from the last run in it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from report import write_report
from throughput import SCRIPTS, commit, python_for

from jaxrl.presets import preset
from jaxrl.run.machine import machine

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "time_to_solve.jsonl"
ALGORITHM, ENV = "ppo", "CartPole-v1"
LOOK_EVERY = 0.02
"""Seconds between two looks at the run's log, and so how exact a time is."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 10], help="of each run")
    parser.add_argument("--rounds", type=int, default=3, help="cold and warm runs, in turn")
    parser.add_argument("--peers", nargs="*", choices=["rejax", "sb3"], default=[])
    parser.add_argument("--purejaxrl", type=Path, help="a checkout of PureJaxRL")
    args = parser.parse_args()
    known = preset(ALGORITHM, ENV)
    run = time.strftime("%Y-%m-%dT%H:%M:%S")
    about = {"run": run, "date": str(date.today()), "commit": commit(), "machine": machine()}

    def note(**measured: Any) -> None:
        with RESULTS.open("a") as file:
            file.write(json.dumps({**measured, **about}) + "\n")
        print(measured, flush=True)

    import_everything()
    peers = [*args.peers, *(["purejaxrl"] if args.purejaxrl else [])]
    pythons = {name: python_for(name) for name in peers}
    for seeds, _ in itertools.product(args.seeds, range(args.rounds)):
        with tempfile.TemporaryDirectory() as folder:
            for cache in ("cold", "warm"):
                measured = solve(Path(folder), cache, seeds, known.threshold)
                note(contestant="jaxrl", seeds=seeds, cache=cache, **measured)
    for name, _ in itertools.product(peers, range(args.rounds)):
        seconds = peer_seconds(name, pythons[name], known.total_steps, args.purejaxrl)
        note(contestant=name, seeds=1, cache="cold", seconds=seconds, steps=known.total_steps)
    write_report()


def import_everything() -> None:
    """Compiles Python's bytecode, where it is not there yet."""
    code = "import jaxrl.commands.train, jaxrl.run.checkpoint, orbax.checkpoint, matplotlib.pyplot"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())


def environment(**more: str) -> dict[str, str]:
    """The variables of a run: those of this process, with nobody's cache of compiled programs."""
    mine = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    return mine | more


def solve(folder: Path, cache: str, seeds: int, threshold: float) -> dict[str, Any]:
    """One run of the command; see `account` for what is returned."""
    out = folder / cache
    words = ["train", ALGORITHM, ENV, "--seeds", str(seeds), "--stop-at-threshold", "--no-gif"]
    command = [sys.executable, str(HERE / "peers" / "solving.py"), *words, "--out", str(out)]
    began = time.time()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(XDG_CACHE_HOME=str(folder / "cache")),
    )
    solved = None
    while process.poll() is None:
        time.sleep(LOOK_EVERY)
        if solved is None and step_reached(log_of(out), threshold) is not None:
            solved = time.time()
    printed, complaint = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{complaint}")
    if solved is None:
        raise SystemExit(f"{' '.join(command)} ended without reaching {threshold:g}.")
    told = json.loads(printed.splitlines()[-1])
    return account(began, solved, told, log_of(out), threshold) | {"all": time.time() - began}


def log_of(out: Path) -> list[dict[str, Any]]:
    """The whole lines of a run's `metrics.jsonl` so far."""
    file = out / "metrics.jsonl"
    text = file.read_text() if file.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def step_reached(log: list[dict[str, Any]], threshold: float) -> int | None:
    """The step at which the last seed had its first evaluation of at least `threshold`, or None."""
    done: set[int] = set()
    for point in log:
        evaluated = point["eval/return"]
        done |= {i for i, x in enumerate(evaluated) if x is not None and x >= threshold}
        if len(done) == len(evaluated):
            return point["step"]
    return None


def account(
    began: float, solved: float, told: dict[str, Any], log: list[dict[str, Any]], threshold: float
) -> dict[str, Any]:
    """Where the seconds went; what is not named is the command's own set-up, and printing.

    Args:
        began: when the process was started, by the clock that `told` has too.
        solved: when the threshold was seen to be reached.
        told: what `peers/solving.py` printed.
        log: the run's log.
        threshold: what was to be reached.

    Returns:
        `seconds` in all; of those `imports`; `trace` while nothing compiled, and `compile`, both
        measured as time that passed, however many threads there were; `train`, training and
        evaluating; `rest`. And the `steps` of each seed.
    """
    step = step_reached(log, threshold)
    point = next(point for point in log if point["step"] == step)
    compiling = _until(told["spans"]["compile"], solved)
    either = compiling + _until(told["spans"]["trace"], solved)
    parts = {
        "imports": told["imported"] - began,
        "trace": covered(either) - covered(compiling),
        "compile": covered(compiling),
        "train": point["time/train_seconds"] + point["time/eval_seconds"],
    }
    whole = solved - began
    return {"seconds": whole, "steps": step, **parts, "rest": whole - sum(parts.values())}


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Seconds that lie in at least one of the spans `(from, to)`; they may overlap."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(map(tuple, spans)):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def _until(spans: Iterable[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    return [(start, min(stop, end)) for start, stop in spans if start < end]


def peer_seconds(name: str, python: Path, steps: int, checkout: Path | None) -> float:
    """Seconds of a peer's process, from its start until it has done that many steps."""
    size = {"algorithm": ALGORITHM, "num-envs": 8, "seeds": 1, "buffer-size": 0}
    words = [str(python), str(HERE / "peers" / SCRIPTS[name]), "--repeats", "1"]
    for option, value in (size | {"total-steps": steps}).items():
        words += [f"--{option}", str(value)]
    words += ["--checkout", str(checkout)] if name == "purejaxrl" else []
    began = time.time()
    done = subprocess.run(
        words, capture_output=True, text=True, env=environment() | {"PYTHONPATH": ""}
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")
    return time.time() - began


if __name__ == "__main__":
    main()
