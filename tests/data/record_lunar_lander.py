"""Records episodes and pictures of Gymnasium's LunarLander-v3 for the tests of ours.

    pip install swig "gymnasium[box2d]"
    python tests/data/record_lunar_lander.py tests/data/lunar_lander.npz

Every random number that the environment draws is kept, so that an episode can be played again
step by step: heights of the ground, first push, indices of the wind, and the dispersion of every
step. Episodes are ragged: steps of episode i are `offset[i]:offset[i + 1]`. `obs` has one row more
per episode, the reset's, from `offset[i] + i` on. `first_contact` is the first step after which a
leg or the hull touched the ground. `frames` are pictures without particles, of `frame_poses` (x
and y of centres of mass, angle, of hull and legs) on `frame_terrain`.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.envs.box2d.lunar_lander import heuristic
from gymnasium.utils import seeding


class Recorder:
    """A numpy generator that remembers what `uniform` gave."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator
        self.drawn: list[float] = []

    def uniform(self, *args: Any, **kwargs: Any) -> Any:
        value = self.generator.uniform(*args, **kwargs)
        self.drawn.append(value)
        return value

    def __getattr__(self, name: str) -> Any:
        return getattr(self.generator, name)


class Plan(NamedTuple):
    policy: str
    episodes: int
    continuous: bool = False
    wind: bool = False


PLANS = [
    Plan("heuristic", 16),
    Plan("noisy", 10),
    Plan("random", 8),
    Plan("main", 2),
    Plan("noop", 2),
    Plan("heuristic", 6, continuous=True),
    Plan("random", 3, continuous=True),
    Plan("heuristic", 4, wind=True),
    Plan("random", 2, wind=True),
    Plan("heuristic", 1, continuous=True, wind=True),
]
FIRST_SEED = 1000


def policies(env: gymnasium.Env, seed: int) -> dict[str, Callable[[np.ndarray], Any]]:
    """Name to policy; `noisy` acts at random three times in ten, `main` fires now and then."""
    rng = np.random.default_rng(seed + 10_000)
    env.action_space.seed(seed)
    sample = env.action_space.sample
    nothing = np.zeros(2, np.float32) if env.unwrapped.continuous else 0
    return {
        "heuristic": lambda obs: heuristic(env.unwrapped, obs),
        "noisy": lambda obs: sample() if rng.random() < 0.3 else heuristic(env.unwrapped, obs),
        "random": lambda obs: sample(),
        "main": lambda obs: 2 if rng.random() < 0.5 else 0,
        "noop": lambda obs: nothing,
    }


def start_of(seed: int, wind: bool) -> dict[str, Any]:
    """What a reset with that seed draws, by drawing it again."""
    rng, _ = seeding.np_random(seed)
    heights = rng.uniform(0, 400 / 30 / 2, size=12)
    force = [rng.uniform(-1000, 1000), rng.uniform(-1000, 1000)]
    indices = [int(rng.integers(-9999, 9999)) for _ in range(2)] if wind else [0, 0]
    return {"heights": heights, "force": force, "wind_index": indices}


def record(seed: int, plan: Plan) -> dict[str, Any]:
    """One episode."""
    env = gymnasium.make("LunarLander-v3", continuous=plan.continuous, enable_wind=plan.wind)
    lander = env.unwrapped
    obs, _ = env.reset(seed=seed)
    policy = policies(env, seed)[plan.policy]
    recorder = Recorder(lander._np_random)
    lander._np_random = recorder
    steps: dict[str, list[Any]] = {"action": [], "dispersion": [], "reward": []}
    observed, first_contact, ended = [obs], -1, False
    while not ended:
        action = policy(obs)
        recorder.drawn.clear()
        obs, reward, terminated, truncated, _ = env.step(action)
        steps["action"].append(action if plan.continuous else [action, 0])
        steps["dispersion"].append(list(recorder.drawn))
        steps["reward"].append(reward)
        observed.append(obs)
        bodies = [lander.lander, *lander.legs]
        touching = any(edge.contact.touching for body in bodies for edge in body.contacts)
        if touching and first_contact < 0:
            first_contact = len(steps["reward"])
        ended = terminated or truncated
    env.close()
    episode = {"seed": seed, **plan._asdict(), **start_of(seed, plan.wind)}
    return {**episode, **steps, "obs": observed, "first_contact": first_contact}


def frames() -> dict[str, np.ndarray]:
    """A few pictures of heuristic flights, and what is in them."""
    pictures, poses, terrains = [], [], []
    for seed, time in ((0, 20), (1, 60), (2, 140)):
        env = gymnasium.make("LunarLander-v3", render_mode="rgb_array")
        lander = env.unwrapped
        obs, _ = env.reset(seed=seed)
        for _ in range(time):
            obs, *_ = env.step(heuristic(lander, obs))
        lander._clean_particles(True)
        pictures.append(env.render())
        bodies = [lander.lander, *lander.legs]
        poses.append([[*body.worldCenter, body.angle] for body in bodies])
        edges = lander.sky_polys
        terrains.append([edge[0][1] for edge in edges] + [edges[-1][1][1]])
        env.close()
    return {
        "frames": np.array(pictures),
        "frame_poses": np.array(poses, np.float32),
        "frame_terrain": np.array(terrains, np.float32),
    }


def main(path: str) -> None:
    plans = [plan for plan in PLANS for _ in range(plan.episodes)]
    episodes = [record(FIRST_SEED + i, plan) for i, plan in enumerate(plans)]

    def each(name: str, kind: Any) -> np.ndarray:
        return np.array([episode[name] for episode in episodes], kind)

    def joined(name: str) -> np.ndarray:
        return np.concatenate([np.array(episode[name], np.float32) for episode in episodes])

    lengths = [len(episode["reward"]) for episode in episodes]
    np.savez_compressed(
        path,
        offset=np.cumsum([0, *lengths]).astype(np.int32),
        **{name: each(name, np.int32) for name in ("seed", "wind_index", "first_contact")},
        **{name: each(name, bool) for name in ("continuous", "wind")},
        **{name: each(name, np.float32) for name in ("heights", "force")},
        policy=each("policy", str),
        **{name: joined(name) for name in ("action", "dispersion", "reward", "obs")},
        **frames(),
    )
    returns = [sum(episode["reward"]) for episode in episodes]
    print(f"{len(episodes)} episodes of {sum(lengths)} steps, mean return {np.mean(returns):.1f}")


if __name__ == "__main__":
    main(sys.argv[1])
