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
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import jax
import numpy as np
from report import write_report
from throughput import commit

import jaxrl
from jaxrl import spaces
from jaxrl.devices import over_seeds, seed_mesh
from jaxrl.environment import supports_render
from jaxrl.run.machine import machine
from jaxrl.vector import reset_batch, rollout, vectorize
from jaxrl_envs import ENVIRONMENTS

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
RESULTS = Path(__file__).parent / "results" / "environments.jsonl"
SIZES = (1, 64, 1024, 16384)
VARIANTS_AT = 1024
LONGEST = 3.0
"""Seconds after which no further round of a measurement begins."""
STEPS = 2**16
"""Steps of all lanes together that one measurement takes."""
FEWEST_STEPS, MOST_STEPS = 32, 1024
"""Bounds on how many of them a lane takes."""
HOST_STEPS = 2**12
HOST_LARGEST = 1024
"""Largest number of lanes that a loop in Python is asked to step."""
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
    parser.add_argument("--shared-out", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.shared_out:
        print(json.dumps(shared_out(args.names[0], args.sizes[0], args)))
        return
    names = args.names or names_of_all()
    run = time.strftime("%Y-%m-%dT%H:%M:%S")
    about = {"run": run, "date": str(date.today()), "commit": commit(), "machine": machine()}

    def note(**measured: Any) -> None:
        with RESULTS.open("a") as file:
            file.write(json.dumps({**measured, **about}) + "\n")
        print({key: value for key, value in measured.items() if key != "rates"}, flush=True)

    for name in names:
        for size in args.sizes:
            note(env=name, kind="steps", by="jaxrl", num_envs=size, **our_steps(name, size, args))
            others = (steps_on_all_devices, gymnax_steps, gymnasium_steps)
            for measured in (other(name, size, args) for other in others):
                if measured is not None:
                    note(env=name, kind="steps", num_envs=size, **measured)
        for by, reset, settings in variants(name):
            measured = our_steps(name, VARIANTS_AT, args, reset, settings)
            note(env=name, kind="steps", by=by, num_envs=VARIANTS_AT, **measured)
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


def variants(name: str) -> list[tuple[str, Any, dict[str, Any]]]:
    """Other ways to step an environment: what to call each, its resets, its settings."""
    found: list[tuple[str, Any, dict[str, Any]]] = [("jaxrl, pooled", "pooled", {})]
    if "solver" in inspect.signature(type(jaxrl.make(name)[0])).parameters:
        found.append(("jaxrl, fast solver", "fresh", {"solver": "fast"}))
    return found


def rates(play: Callable[[], Any], count: int, rounds: int) -> dict[str, Any]:
    """Times a call that does `count` things; the first one is not counted.

    What takes long is called fewer times, so that a run stays a matter of minutes.
    """
    play()
    seconds: list[float] = []
    while len(seconds) < rounds and sum(seconds) < LONGEST:
        began = time.perf_counter()
        play()
        seconds.append(time.perf_counter() - began)
    each = [count / s for s in seconds]
    return {"rate": statistics.median(each), "rates": each}


def our_steps(
    name: str,
    size: int,
    args: Any,
    reset: Any = "fresh",
    settings: dict[str, Any] | None = None,
    shares: int = 1,
) -> dict[str, Any]:
    """The rate of ours, its lanes in so many shares, which go to as many devices."""
    env, params = jaxrl.make(name, **(settings or {}))
    venv = vectorize(env, size // shares, reset=reset)
    num_steps = steps_of(size)
    draw_actions = random_actions(env.action_space(params), size // shares)
    mesh = seed_mesh(shares)

    def reset_share(key: jax.Array) -> Any:
        return venv.reset(jax.random.wrap_key_data(key), params)

    def play_share(state: Any, key: jax.Array) -> Any:
        state, trajectory = rollout(
            venv,
            params,
            state,
            draw_actions,
            lambda obs, action: (action, ()),
            jax.random.wrap_key_data(key),
            num_steps,
        )
        # Observations must be made, but need not be kept.
        return state, trajectory.reward.sum()

    play = jax.jit(lambda state, keys: over_seeds(play_share, state, keys, mesh=mesh))
    keys = jax.random.key_data(jax.random.split(jax.random.key(0), shares))
    state = jax.jit(lambda keys: over_seeds(reset_share, keys, mesh=mesh))(keys)
    return rates(lambda: jax.block_until_ready(play(state, keys)), size * num_steps, args.rounds)


def steps_of(size: int) -> int:
    """Steps that each of so many lanes takes in one measurement."""
    return max(FEWEST_STEPS, min(MOST_STEPS, STEPS // size))


def shared_out(name: str, size: int, args: Any) -> dict[str, Any] | None:
    """The rate of ours with lanes shared out among the devices that share them evenly."""
    jaxrl.use_cores()
    mesh = seed_mesh(size)
    if mesh is None:
        return None
    return {"devices": mesh.size, **our_steps(name, size, args, shares=mesh.size)}


def steps_on_all_devices(name: str, size: int, args: Any) -> dict[str, Any] | None:
    """`shared_out` in a process of its own, or None where there is one device, or one lane."""
    if size == 1:
        return None
    command = [sys.executable, __file__, name, "--shared-out", "--sizes", str(size)]
    command += ["--rounds", str(args.rounds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured = json.loads(done.stdout)
    return measured and {"by": "jaxrl, all devices", **measured}


def random_actions(space: Any, size: int) -> Callable[[jax.Array], jax.Array]:
    """Draws an action for each lane with one key: a key a lane costs more than a cheap step."""
    if spaces.is_discrete(space):
        return lambda key: jax.random.randint(key, (size,), 0, space.n)
    low, high = spaces.bounds(space)
    return lambda key: jax.random.uniform(key, (size, *space.shape), minval=low, maxval=high)


def gymnax_steps(name: str, size: int, args: Any) -> dict[str, Any] | None:
    """The rate of gymnax's own environment, or None where it has none of that name."""
    import gymnax  # makes jax's devices, which must not be before `use_cores`

    if name not in gymnax.registered_envs:
        return None
    env, params = gymnax.make(name)
    num_steps = steps_of(size)

    def step(carry: Any, _: None) -> Any:
        key, _, state = carry
        key, key_action, key_step = jax.random.split(key, 3)
        actions = jax.vmap(env.action_space(params).sample)(jax.random.split(key_action, size))
        obs, state, reward, *_ = jax.vmap(env.step, (0, 0, 0, None))(
            jax.random.split(key_step, size), state, actions, params
        )
        # The observations are carried, as a policy would need them: else XLA makes none.
        return (key, obs, state), reward

    @jax.jit
    def play(start: Any, key: jax.Array) -> Any:
        (_, *end), rewards = jax.lax.scan(step, (key, *start), None, num_steps)
        return end, rewards.sum()

    keys = jax.random.split(jax.random.key(0), size)
    start = jax.jit(jax.vmap(env.reset, (0, None)))(keys, params)
    key = jax.random.key(1)
    measured = rates(lambda: jax.block_until_ready(play(start, key)), size * num_steps, args.rounds)
    return {"by": "gymnax", **measured}


def gymnasium_steps(name: str, size: int, args: Any) -> dict[str, Any] | None:
    """Gymnasium's rate, or None where it has no such environment or it would take too long."""
    import gymnasium

    spec = gymnasium.registry.get(name)
    if spec is None:
        return None
    mode = "vector_entry_point" if spec.vector_entry_point else "sync"
    if mode == "sync" and size > HOST_LARGEST:
        return None
    try:
        envs = gymnasium.make_vec(name, size, mode)
    except gymnasium.error.DependencyNotInstalled:
        return None
    envs.reset(seed=0)
    total = HOST_STEPS if mode == "sync" else STEPS
    num_steps = max(4, min(1024, total // size))
    envs.action_space.seed(0)
    actions = [envs.action_space.sample() for _ in range(num_steps)]

    def play() -> None:
        for action in actions:
            envs.step(action)

    measured = rates(play, size * num_steps, args.rounds)
    envs.close()
    return {"by": "gymnasium", "mode": mode, **measured}


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
