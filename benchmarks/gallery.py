"""A small GIF of every environment, and the table of `envs/README.md` that shows them.

    python benchmarks/gallery.py                 all of them
    python benchmarks/gallery.py snake-v0        some, and the table

Who acts is written below: a rule of thumb that sees what `describe` says, or random actions where
there is none. Pictures go to `envs/gallery/`.
"""

from __future__ import annotations

import argparse
import inspect
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxrl
from jaxrl import spaces
from jaxrl.run.video import write_video
from jaxrl_envs import ENVIRONMENTS

README = Path(__file__).parent.parent / "envs" / "README.md"
GALLERY = README.parent / "gallery"
START, END = "<!-- gallery: start -->", "<!-- gallery: end -->"
HEIGHT = 150
FRAMES = 60
LARGEST = 150_000
"""Largest file, in bytes."""
FPS = 20

Policy = Callable[[dict[str, float], dict[str, Any]], Any]
"""`(quantities, memory) -> action`; the memory is a dict of the policy's own for one episode."""


def balance(lean: float, said: dict[str, float]) -> int:
    """Pushes the cart so that the pole comes to that lean, rad."""
    return int(3 * (said["pole_angle"] - lean) + 0.6 * said["pole_angular_velocity"] > 0)


def to_and_fro(said: dict[str, float], memory: dict[str, Any]) -> int:
    goal = 0.8 * math.sin(said["time"] / 40)
    lean = 0.12 * (goal - said["cart_position"]) - 0.1 * said["cart_velocity"]
    return balance(lean, said)


def swing(said: dict[str, float], memory: dict[str, Any]) -> int:
    goal = -0.6 if said["last_touched"] > 0 else 0.6
    lean = 0.12 * (goal - said["cart_position"]) - 0.1 * said["cart_velocity"]
    return balance(min(max(lean, -0.1), 0.1), said)


def towards_the_food(said: dict[str, float], memory: dict[str, Any]) -> int:
    free = [said[f"free_{way}"] for way in ("up", "right", "down", "left")]
    down, right = said["food_below"], said["food_right"]
    wanted = [2 if down > 0 else 0] * (down != 0) + [1 if right > 0 else 3] * (right != 0)
    possible = [way for way in range(4) if free[way] and (way - said["direction"]) % 4 != 2]
    good = [way for way in wanted if way in possible]
    return good[0] if good else max(possible, key=lambda way: free[way], default=0)


def along_the_right_wall(said: dict[str, float], memory: dict[str, Any]) -> int:
    heading = memory.get("heading", 2)
    opens = [said[f"open_{way}"] for way in ("up", "right", "down", "left")]
    # Right of where it is heading, ahead, left, back: the first that is open.
    memory["heading"] = next(
        (heading + turn) % 4 for turn in (1, 0, 3, 2) if opens[(heading + turn) % 4]
    )
    return memory["heading"]


def pump(said: dict[str, float], memory: dict[str, Any]) -> int:
    return 2 if said["angular_velocity_1"] < 0 else 0


def swing_up(said: dict[str, float], memory: dict[str, Any]) -> np.ndarray:
    angle, speed = said["angle"], said["angular_velocity"]
    if abs(angle) < 0.5:
        return np.array([-10 * angle - 2 * speed], np.float32)
    energy = speed**2 / 2 + 15 * (math.cos(angle) - 1)
    return np.array([math.copysign(2.0, -energy * speed)], np.float32)


def with_the_velocity(said: dict[str, float], memory: dict[str, Any]) -> int:
    return 2 if said["velocity"] >= 0 else 0


def under_the_ball(said: dict[str, float], memory: dict[str, Any]) -> int:
    ahead = said["ball_right_of_paddle"] + said["ball_moves_right"]
    return 0 if ahead == 0 else (2 if ahead > 0 else 1)


def land(said: dict[str, float], memory: dict[str, Any]) -> int:
    """Gymnasium's rule of thumb (`gymnasium.envs.box2d.lunar_lander.heuristic`), in SI units."""
    turn, climb = _wanted(said)
    if climb > max(abs(turn), 0.05):
        return 2
    return 3 if turn < -0.05 else int(turn > 0.05)


def land_smoothly(said: dict[str, float], memory: dict[str, Any]) -> np.ndarray:
    """The same with continuous actions."""
    turn, climb = _wanted(said)
    return np.clip(np.array([20 * climb - 1, -20 * turn], np.float32), -1, 1)


def _wanted(said: dict[str, float]) -> tuple[float, float]:
    """How much a lander should turn to the left, and rise."""
    if said["left_leg_contact"] or said["right_leg_contact"]:
        return 0.0, -0.067 * said["y_velocity"]
    lean = min(max(0.05 * said["x"] + 0.2 * said["x_velocity"], -0.4), 0.4)
    turn = 0.5 * (lean - said["angle"]) - 0.4 * said["angular_velocity"]
    return turn, 0.0275 * abs(said["x"]) - 0.075 * said["y"] - 0.067 * said["y_velocity"]


POLICIES: dict[str, Policy] = {
    "CartPole-v1": to_and_fro,
    "CartPoleSwing-v0": swing,
    "snake-v0": towards_the_food,
    "RobotMaze-v0": along_the_right_wall,
    "LunarLander-v3": land,
    "LunarLanderContinuous-v3": land_smoothly,
    "Acrobot-v1": pump,
    "Pendulum-v1": swing_up,
    "MountainCar-v0": with_the_velocity,
    "Breakout-MinAtar": under_the_ball,
}

OF_GYMNAX = {
    "Acrobot-v1": "two links to be swung up to a line, the joint between them driven",
    "Pendulum-v1": "a rod to be swung up and held, with a torque too small to lift it",
    "MountainCar-v0": "a car too weak for its hill, which has to gain speed in the valley",
    "Breakout-MinAtar": "a paddle, a ball, and a wall of bricks to be broken",
    "Asterix-MinAtar": "treasures to be collected, enemies to be dodged",
    "Freeway-MinAtar": "a chicken that has to cross the road",
    "SpaceInvaders-MinAtar": "rows of aliens that come down",
}
"""Environments of gymnax's that are drawn here, and what they are."""


def names() -> list[str]:
    """Ours, each once, then gymnax's."""
    ours = [name for name, factory in ENVIRONMENTS.items() if factory().name == name]
    return [*ours, *OF_GYMNAX]


def play(name: str) -> list[Any]:
    """The states of an episode, each of the host's."""
    env, params = jaxrl.make(name)
    policy, memory = POLICIES.get(name), {}
    step, describe = jax.jit(env.step_env), jax.jit(getattr(env, "describe", lambda s, p: {}))
    sample = jax.jit(env.action_space(params).sample)
    key, start = jax.random.split(jax.random.key(0))
    _, state = jax.jit(env.reset_env)(start, params)
    states = [state]
    for t in range(1000):
        here = jax.random.fold_in(key, t)
        if policy is None:
            action = sample(here)
        else:
            action = policy({k: float(v) for k, v in describe(state, params).items()}, memory)
        _, state, _, terminated, _ = step(here, state, action, params)
        states.append(state)
        if terminated or env.is_truncated(state, params):
            break
    return states


def film(name: str) -> Path:
    """Writes an environment's GIF, of as many frames as fit; says its size."""
    env, params = jaxrl.make(name)
    sides = {s: p.default for s, p in inspect.signature(env.render).parameters.items()}
    width = round(HEIGHT * sides["width"] / sides["height"])
    draw = jax.jit(lambda state: env.render(state, params, height=HEIGHT, width=width))
    states = play(name)
    # On a board a piece moves a whole cell a step, of which none should be missed.
    on_board = len(env.observation_space(params).shape) == 3
    every = 1 if on_board else min(4, math.ceil(len(states) / FRAMES))
    frames = np.stack([np.asarray(draw(state)) for state in states[: FRAMES * every : every]])
    path = GALLERY / f"{name}.gif"
    while write_video(frames, path, FPS).stat().st_size > LARGEST:
        frames = frames[: len(frames) * 3 // 4]
    print(f"{path.name}: {len(frames)} frames, {path.stat().st_size / 1000:.0f} kB", flush=True)
    return path


def row(name: str) -> str:
    """An environment's row of the table."""
    env, params = jaxrl.make(name)
    if name in OF_GYMNAX:
        what = f"gymnax's: {OF_GYMNAX[name]}"
    else:
        first = (sys.modules[type(env).__module__].__doc__ or "").splitlines()[0]
        what = (first.partition(": ")[2] or first).removesuffix(".")
    action, observation = (
        spaces.describe(space)
        for space in (env.action_space(params), env.observation_space(params))
    )
    picture = f'<img src="gallery/{name}.gif" height="110" alt="{name}">'
    return f"| {picture} | `{name}` | {what} | {action} | {observation} |"


def write_table() -> None:
    """Rewrites the table; the text around it stays."""
    before, _, rest = README.read_text().partition(START)
    _, _, after = rest.partition(END)
    lines = ["| | name | what it is | actions | observation |", "| --- | --- | --- | --- | --- |"]
    lines += [row(name) for name in names() if (GALLERY / f"{name}.gif").exists()]
    table = "\n".join(lines)
    README.write_text(f"{before}{START}\n{table}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*")
    for name in parser.parse_args().names or names():
        film(name)
    write_table()


if __name__ == "__main__":
    main()
