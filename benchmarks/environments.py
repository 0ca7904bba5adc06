"""Steps and pictures per second of every environment, beside gymnax's and Gymnasium's of that name.

    python benchmarks/environments.py                       all of them
    python benchmarks/environments.py snake-v0 CartPole-v1  some

Random actions, episodes restarting by themselves. Contestants run in processes of their own and
take turns (`turns.py`). With "all devices" each core is a device of jax's and steps a share of the
lanes, as seeds of a run are shared out. gymnax steps as its users have it, a `vmap` of its `step`
in a `scan`, with a key for each lane, and samples actions so too; "our actions" are drawn as ours,
with one key a step, which leaves the difference between the environments. Gymnasium steps by its
own numpy vector environment where it has one, else by `SyncVectorEnv`, with actions drawn
beforehand. Compiling is left out.

Lines go to `benchmarks/results/environments.jsonl`, and the tables in `benchmarks/README.md` are
made from the last run in it.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import time
from datetime import date
from pathlib import Path

import gymnasium
import gymnax
from report import write_report
from throughput import commit
from turns import Measured, in_turns

import jaxrl
from jaxrl.environment import supports_render
from jaxrl.run.machine import machine
from jaxrl_envs import ENVIRONMENTS

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "environments.jsonl"
SIZES = (1, 64, 1024, 8192)
VARIANTS_AT = 1024
HOST_LARGEST = 1024
"""Largest number of lanes that a loop in Python is asked to step."""
DRAWN_TOO = ("Acrobot-v1", "Pendulum-v1", "MountainCar-v0", "Breakout-MinAtar")
"""Environments of gymnax's that are drawn here."""
STEPPED_TOO = ("Breakout-MinAtar",)
"""Environments of gymnax's that are stepped here, by our loop and by its own."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of lanes")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    names = args.names or names_of_all()
    run = time.strftime("%Y-%m-%dT%H:%M:%S")
    about = {"run": run, "date": str(date.today()), "commit": commit(), "machine": machine()}

    def note(measured: Measured) -> None:
        with RESULTS.open("a") as file:
            file.write(json.dumps({**measured, **about}) + "\n")
        print({key: value for key, value in measured.items() if key != "rates"}, flush=True)

    def measure(kind: str, script: str, name: str, contestants: list[str], *size: int) -> None:
        words = [name, *map(str, size)]
        commands = [[sys.executable, str(HERE / script), by, *words] for by in contestants]
        lanes = {"num_envs": size[0]} if size else {}
        for by, measured in zip(contestants, in_turns(commands, args.rounds), strict=True):
            note({"env": name, "kind": kind, **lanes, "by": by, **measured})

    for name in names:
        for size in args.sizes:
            measure("steps", "stepping.py", name, steppers(name, size), size)
    for name in dict.fromkeys((*names, *DRAWN_TOO)):
        if supports_render(jaxrl.make(name)[0]):
            measure("frames", "drawing.py", name, drawers(name))
    write_report()


def names_of_all() -> list[str]:
    """Ours, an older name of the same environment left out, and those of gymnax's to be stepped."""
    return [name for name, made in ENVIRONMENTS.items() if made().name == name] + [*STEPPED_TOO]


def steppers(name: str, size: int) -> list[str]:
    """Who steps so many lanes of an environment of that name; see `stepping.py`."""
    found = ["jaxrl"]
    if name in gymnax.registered_envs:
        found += ["gymnax", "gymnax, our actions"]
    if size > 1:
        found += [f"{by}, all devices" for by in found if by != "gymnax"]
    if in_gymnasium(name) and (gymnasium.spec(name).vector_entry_point or size <= HOST_LARGEST):
        found.append("gymnasium")
    if size == VARIANTS_AT:
        found.append("jaxrl, pooled")
        if "solver" in inspect.signature(type(jaxrl.make(name)[0])).parameters:
            found.append("jaxrl, fast solver")
    return found


def drawers(name: str) -> list[str]:
    """Who draws an environment of that name; see `drawing.py`."""
    return ["jaxrl", *(["gymnasium"] if in_gymnasium(name) else [])]


def in_gymnasium(name: str) -> bool:
    """Whether Gymnasium has an environment of that name here; the lander needs Box2D installed."""
    if name not in gymnasium.registry:
        return False
    try:
        gymnasium.make(name).close()
    except gymnasium.error.DependencyNotInstalled:
        return False
    return True


if __name__ == "__main__":
    main()
