"""How fast our LunarLander is, and how Gymnasium's own pilot scores in it and in Gymnasium's.

    pip install swig "gymnasium[box2d]"
    python benchmarks/lunar_lander.py speed     steps per second of both solvers on one core
    python benchmarks/lunar_lander.py pilot     scores of 400 episodes in Gymnasium's and in ours

The pilot is the `heuristic` that comes with Gymnasium's lander. Its episodes are paired: ours take
the ground, the first push and the dispersion of every step that Gymnasium draws for the same seed.
Lines go to `benchmarks/results/lunar_lander_*.jsonl`, and the tables in `benchmarks/README.md` are
made from them.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from report import write_report
from throughput import commit

from jaxrl.run.machine import machine
from jaxrl.vector import rollout, vectorize
from jaxrl_envs.lunar_lander import LunarLander

RESULTS = Path(__file__).parent / "results"
LIMIT = 1000
TURNS = 8
"""How often a speed is measured; the first turn warms up."""


class Scores(NamedTuple):
    """Returns and lengths of episodes, and whether each came to rest, `[E]`."""

    returns: np.ndarray
    lengths: np.ndarray
    landed: np.ndarray

    def summary(self) -> dict[str, float]:
        """Means, for a line of results."""
        return {
            "mean": float(self.returns.mean()),
            "landed": float(self.landed.mean()),
            "mean_length": float(self.lengths.mean()),
        }


def pilot(obs: Any) -> jax.Array:
    """Gymnasium's `heuristic` on the device: an action of every observation `[..., 8]`.

    It tilts towards where the lander should go, falls the slower the nearer it is, and, once a leg
    has touched, only brakes what is left of the fall.
    """
    x, y, vx, vy, angle, angular, right, left = jnp.moveaxis(jnp.asarray(obs), -1, 0)
    standing = (right > 0) | (left > 0)
    wanted_angle = jnp.clip(0.5 * x + vx, -0.4, 0.4)
    turn = jnp.where(standing, 0.0, 0.5 * (wanted_angle - angle) - angular)
    climb = 0.5 * (0.55 * jnp.abs(x) - y) - 0.5 * vy
    climb = jnp.where(standing, -0.5 * vy, climb)
    main = (climb > jnp.abs(turn)) & (climb > 0.05)
    side = jnp.where(turn < -0.05, 3, jnp.where(turn > 0.05, 1, 0))
    return jnp.where(main, 2, side)


def draws(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What Gymnasium draws with a seed: heights, first push, dispersion of every step."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    heights = rng.uniform(0, 400 / 30 / 2, size=12)
    force = [rng.uniform(-1000, 1000), rng.uniform(-1000, 1000)]
    rng.uniform(-1, 1, size=2)  # of the step that a reset takes
    return heights, np.array(force), rng.uniform(-1, 1, size=(LIMIT, 2))


def ours(solver: str, episodes: int) -> Scores:
    """The pilot's scores in our lander, on the first seeds."""
    env = LunarLander(solver=solver)
    params = env.default_params
    drawn = [draws(seed) for seed in range(episodes)]
    heights, force, noise = (
        jnp.asarray(np.stack(parts), jnp.float32) for parts in zip(*drawn, strict=True)
    )

    @jax.jit
    def play(heights: jax.Array, force: jax.Array, noise: jax.Array) -> Any:
        calm = jnp.zeros((episodes, 2), jnp.int32)
        obs, state = env.start(heights, force, calm, params)

        def step(carry: Any, noise: jax.Array) -> Any:
            obs, state, running, total, length, landed = carry
            advance = jax.vmap(env.advance, (0, 0, 0, None))
            obs, state, reward, ended, _ = advance(state, pilot(obs), noise, params)
            total, length = total + running * reward, length + running
            landed |= running & ~state.world.awake
            return (obs, state, running & ~ended, total, length, landed), None

        none = jnp.zeros(episodes)
        start = (obs, state, none == 0, none, none.astype(jnp.int32), none > 0)
        return jax.lax.scan(step, start, noise.swapaxes(0, 1))[0][3:]

    return Scores(*map(np.asarray, play(heights, force, noise)))


def gymnasiums(episodes: int) -> Scores:
    """The pilot's scores in Gymnasium's lander, on the same seeds."""
    import gymnasium
    from gymnasium.envs.box2d.lunar_lander import heuristic

    env = gymnasium.make("LunarLander-v3")
    scores = []
    for seed in range(episodes):
        obs, _ = env.reset(seed=seed)
        total, length, ended = 0.0, 0, False
        while not ended:
            obs, reward, terminated, truncated, _ = env.step(heuristic(env, obs))
            total, length, ended = total + float(reward), length + 1, terminated or truncated
        scores.append((total, length, not env.unwrapped.lander.awake))
    return Scores(*map(np.array, zip(*scores, strict=True)))


def paired(ours: Scores, theirs: Scores) -> dict[str, float]:
    """How often both end alike, and the mean difference of returns with its standard error."""
    difference = ours.returns - theirs.returns
    return {
        "same_outcome": float((ours.landed == theirs.landed).mean()),
        "difference": float(difference.mean()),
        "standard_error": float(difference.std(ddof=1) / np.sqrt(len(difference))),
    }


def speed(solver: str, num_envs: int, num_steps: int = 64) -> dict[str, float]:
    """Steps per second of random flights with restarts, and how long they take to compile."""
    env = LunarLander(solver=solver)
    venv, params = vectorize(env, num_envs), env.default_params

    def fly(state: Any, key: jax.Array) -> Any:
        return rollout(
            venv,
            params,
            state,
            lambda key: jax.random.randint(key, (num_envs,), 0, 4),
            lambda obs, action: (action, ()),
            key,
            num_steps,
        )

    state = jax.jit(venv.reset)(jax.random.key(0), params)
    traced = jax.jit(lambda s, k: fly(s, k)[0]).lower(state, jax.random.key(1))
    wall, process = time.perf_counter(), time.process_time()
    compiled = traced.compile()
    compiling = time.perf_counter() - wall, time.process_time() - process
    rates, rates_of_process = [], []
    for turn in range(TURNS):
        wall, process = time.perf_counter(), time.process_time()
        state = jax.block_until_ready(compiled(state, jax.random.key(turn)))
        rates.append(num_envs * num_steps / (time.perf_counter() - wall))
        rates_of_process.append(num_envs * num_steps / (time.process_time() - process))
    return {
        "steps_per_second": float(np.median(rates[1:])),
        "steps_per_processor_second": float(np.median(rates_of_process[1:])),
        "compile_seconds": compiling[0],
        "compile_processor_seconds": compiling[1],
    }


def record(name: str, row: dict[str, Any]) -> None:
    """Adds a line to the results of that name, and prints it."""
    about = {"date": str(date.today()), "commit": commit(), "machine": machine()}
    with (RESULTS / f"lunar_lander_{name}.jsonl").open("a") as file:
        file.write(json.dumps({**row, **about}) + "\n")
    print({key: round(x, 3) if isinstance(x, float) else x for key, x in row.items()}, flush=True)


def measure_speed(num_envs: int) -> None:
    """Records the speed of both solvers on the first of the machine's cores."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before jax starts its threads
    for solver in ("exact", "fast"):
        record("speed", {"solver": solver, "num_envs": num_envs, **speed(solver, num_envs)})


def measure_pilot(episodes: int) -> None:
    """Records the pilot's scores in Gymnasium's lander, and in ours on the same draws."""
    theirs = gymnasiums(episodes)
    record("pilot", {"world": "Gymnasium", "episodes": episodes, **theirs.summary()})
    for solver in ("exact", "fast"):
        scores = ours(solver, episodes)
        row = {"world": solver, "episodes": episodes, **scores.summary()}
        record("pilot", {**row, **paired(scores, theirs)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["speed", "pilot"])
    parser.add_argument("--episodes", type=int, default=400)
    parser.add_argument("--num-envs", type=int, default=1024)
    args = parser.parse_args()
    if args.what == "speed":
        measure_speed(args.num_envs)
    else:
        measure_pilot(args.episodes)
    write_report()


if __name__ == "__main__":
    main()
