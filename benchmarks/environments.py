"""Steps and pictures per second of every environment, beside gymnax's and Gymnasium's of that name.

    python benchmarks/environments.py                       all of them
    python benchmarks/environments.py snake-v0 CartPole-v1  some

Random actions, episodes restarting by themselves, in this process and in turn. "All devices" is in
a process of its own, where each core is a device of jax's and steps a share of the lanes, as seeds
of a run are shared out. gymnax steps as its users have it, a `vmap` of its `step` in a `scan`, with
a key and an action drawn for each lane. Gymnasium steps by its own numpy vector environment where
it has one, else by `SyncVectorEnv`, with actions drawn beforehand; ours draw them as they go.
Pictures are drawn at their original's size, ours 64 in one call, Gymnasium's with pygame one after
another. Compiling is left out.

Lines go to `benchmarks/results/environments.jsonl`, and the tables in `benchmarks/README.md` are
made from the last run in it.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import jax
import numpy as np
from report import write_report
from stepping import gymnasium_steps, gymnax_steps, our_steps, rates, shared_out_apart
from throughput import commit

import jaxrl
from jaxrl.environment import supports_render
from jaxrl.run.machine import machine
from jaxrl.vector import reset_batch
from jaxrl_envs import ENVIRONMENTS

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
RESULTS = Path(__file__).parent / "results" / "environments.jsonl"
SIZES = (1, 64, 1024, 16384)
VARIANTS_AT = 1024
FRAMES = 64
DRAWN_TOO = ("Acrobot-v1", "Pendulum-v1", "MountainCar-v0", "Breakout-MinAtar")
"""Environments of gymnax's that are drawn here."""
STEPPED_TOO = ("Breakout-MinAtar",)
"""Environments of gymnax's that are stepped here, by our loop and by its own."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    names = args.names or names_of_all()
    run = time.strftime("%Y-%m-%dT%H:%M:%S")
    about = {"run": run, "date": str(date.today()), "commit": commit(), "machine": machine()}

    def note(**measured: Any) -> None:
        with RESULTS.open("a") as file:
            file.write(json.dumps({**measured, **about}) + "\n")
        print({key: value for key, value in measured.items() if key != "rates"}, flush=True)

    for name in names:
        for size in args.sizes:
            for measured in all_steps(name, size, args.rounds):
                if measured is not None:
                    note(env=name, kind="steps", num_envs=size, **measured)
        for by, reset, settings in variants(name):
            measured = our_steps(name, VARIANTS_AT, args.rounds, reset, settings)
            note(env=name, kind="steps", num_envs=VARIANTS_AT, **{**measured, "by": by})
    for name in dict.fromkeys((*names, *DRAWN_TOO)):
        if not supports_render(jaxrl.make(name)[0]):
            continue
        note(env=name, kind="frames", by="jaxrl", **our_frames(name, args))
        theirs = gymnasium_frames(name, args)
        if theirs is not None:
            note(env=name, kind="frames", by="gymnasium", **theirs)
    write_report()


def names_of_all() -> list[str]:
    """Ours, an older name of the same environment left out, and those of gymnax's to be stepped."""
    return [name for name, made in ENVIRONMENTS.items() if made().name == name] + [*STEPPED_TOO]


def all_steps(name: str, size: int, rounds: int) -> Iterator[dict[str, Any] | None]:
    """The rates of all that step an environment of that name; None where one does not."""
    yield our_steps(name, size, rounds)
    yield shared_out_apart("jaxrl", name, size, rounds)
    theirs = gymnax_steps(name, size, rounds)
    yield theirs
    yield theirs and shared_out_apart("gymnax", name, size, rounds)
    yield gymnasium_steps(name, size, rounds)


def variants(name: str) -> list[tuple[str, Any, dict[str, Any]]]:
    """Other ways to step an environment: what to call each, its resets, its settings."""
    found: list[tuple[str, Any, dict[str, Any]]] = [("jaxrl, pooled", "pooled", {})]
    if "solver" in inspect.signature(type(jaxrl.make(name)[0])).parameters:
        found.append(("jaxrl, fast solver", "fresh", {"solver": "fast"}))
    return found


def our_frames(name: str, args: Any) -> dict[str, Any]:
    env, params = jaxrl.make(name)
    defaults = inspect.signature(env.render).parameters
    height, width = (defaults[side].default for side in ("height", "width"))
    states = reset_batch(env, jax.random.key(0), params, FRAMES)[1]
    draw = jax.jit(jax.vmap(lambda state: env.render(state, params, height=height, width=width)))
    measured = rates(lambda: jax.block_until_ready(draw(states)), FRAMES, args.rounds)
    return {"height": height, "width": width, **measured}


def gymnasium_frames(name: str, args: Any) -> dict[str, Any] | None:
    import gymnasium

    if name not in gymnasium.registry:
        return None
    try:
        env = gymnasium.make(name, render_mode="rgb_array")
        env.reset(seed=0)
        frame = np.asarray(env.render())
    except gymnasium.error.DependencyNotInstalled:
        return None

    def play() -> None:
        for _ in range(FRAMES):
            env.render()

    measured = rates(play, FRAMES, args.rounds)
    env.close()
    return {"height": frame.shape[0], "width": frame.shape[1], **measured}


if __name__ == "__main__":
    main()
