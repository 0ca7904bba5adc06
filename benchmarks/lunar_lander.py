"""How fast our LunarLander is, and how a hand-written pilot scores in it and in Gymnasium's.

    python benchmarks/lunar_lander.py speed                 steps per second on one core
    python benchmarks/lunar_lander.py pilot                 scores of 400 episodes, both solvers
    python benchmarks/lunar_lander.py pilot --gymnasium     the same episodes in Gymnasium's too

The pilot's episodes are paired: ours take the ground, the first push and the dispersion of every
step that Gymnasium draws for the same seed. `--gymnasium` needs `pip install swig
"gymnasium[box2d]"`.
"""

from __future__ import annotations

import argparse
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.vector import rollout, vectorize
from jaxrl_envs.lunar_lander import LunarLander

LIMIT = 1000


class Scores(NamedTuple):
    """Returns and lengths of episodes, and whether each came to rest, `[E]`."""

    returns: np.ndarray
    lengths: np.ndarray
    landed: np.ndarray

    def __str__(self) -> str:
        return (
            f"mean return {self.returns.mean():7.2f}  landed {self.landed.mean():.3f}  "
            f"mean length {self.lengths.mean():.0f}"
        )


def pilot(obs: Any) -> jax.Array:
    """Steers an observation `[8]` to the pad, as Gymnasium's own pilot does.

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

    env = gymnasium.make("LunarLander-v3")
    fly = jax.jit(pilot)
    scores = []
    for seed in range(episodes):
        obs, _ = env.reset(seed=seed)
        total, length, ended = 0.0, 0, False
        while not ended:
            obs, reward, terminated, truncated, _ = env.step(int(fly(obs)))
            total, length, ended = total + float(reward), length + 1, terminated or truncated
        scores.append((total, length, not env.unwrapped.lander.awake))
    return Scores(*map(np.array, zip(*scores, strict=True)))


def speed(solver: str, num_envs: int, num_steps: int = 64) -> None:
    """Prints the steps per second of random flights with restarts, and the time of compiling."""
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
    started = time.perf_counter()
    compiled = jax.jit(lambda s, k: fly(s, k)[0]).lower(state, jax.random.key(1)).compile()
    compiling = time.perf_counter() - started
    rates, rates_of_process = [], []
    for turn in range(8):
        wall, process = time.perf_counter(), time.process_time()
        state = jax.block_until_ready(compiled(state, jax.random.key(turn)))
        rates.append(num_envs * num_steps / (time.perf_counter() - wall))
        rates_of_process.append(num_envs * num_steps / (time.process_time() - process))
    print(
        f"{solver:6} {num_envs} lanes: {np.median(rates[1:]):,.0f} steps/s, "
        f"{np.median(rates_of_process[1:]):,.0f} per second of processor; compiled in "
        f"{compiling:.1f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["speed", "pilot"])
    parser.add_argument("--episodes", type=int, default=400)
    parser.add_argument("--num-envs", type=int, default=1024)
    parser.add_argument("--gymnasium", action="store_true")
    args = parser.parse_args()
    if args.what == "speed":
        for solver in ("exact", "fast"):
            speed(solver, args.num_envs)
        return
    theirs = gymnasiums(args.episodes) if args.gymnasium else None
    if theirs:
        print(f"gymnasium  {theirs}", flush=True)
    for solver in ("exact", "fast"):
        scores = ours(solver, args.episodes)
        print(f"{solver:9}  {scores}", flush=True)
        if theirs:
            same = (scores.landed == theirs.landed).mean()
            difference = scores.returns - theirs.returns
            error = difference.std() / np.sqrt(args.episodes)
            print(
                f"           same outcome {same:.3f}, paired {difference.mean():.2f} ± {error:.2f}"
            )


if __name__ == "__main__":
    main()
