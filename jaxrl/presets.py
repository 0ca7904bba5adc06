"""Settings that are known to work, with what they were measured to reach.

`jaxrl train ALGO ENV` starts from the preset of that pair where there is one. Every `reached` was
measured by `benchmarks/presets.py`, which writes it with its curve and machine into
`benchmarks/results/`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxrl.algorithms.ppo import PPOConfig


class Preset(NamedTuple):
    """Settings for one algorithm on one environment.

    Attributes:
        config: the algorithm's config.
        total_steps: environment steps per seed.
        threshold: the evaluation return that counts as solved.
        seeds: how many seeds it is measured with.
        target: what is asked of them.
        reached: what was measured.
    """

    config: Any
    total_steps: int
    threshold: float
    seeds: int
    target: str
    reached: str


PRESETS: dict[tuple[str, str], Preset] = {
    ("ppo", "CartPole-v1"): Preset(
        # rl-baselines3-zoo's, with half its epochs and the usual λ: its own left one seed behind.
        PPOConfig(
            num_envs=8,
            num_steps=32,
            update_epochs=10,
            num_minibatches=1,
            learning_rate=1e-3,
            learning_rate_final=0.0,
            gamma=0.98,
            clip_eps_final=0.0,
        ),
        total_steps=100_000,
        threshold=475.0,
        seeds=10,
        target="475 in 9 of 10 seeds",
        reached="",
    ),
    ("ppo", "Acrobot-v1"): Preset(
        PPOConfig(
            num_envs=16,
            num_steps=128,
            update_epochs=10,
            num_minibatches=8,
            learning_rate=1e-3,
            learning_rate_final=0.0,
            gae_lambda=0.94,
            normalize_obs=True,
        ),
        total_steps=200_000,
        threshold=-100.0,
        seeds=10,
        target="-100 in 9 of 10 seeds",
        reached="",
    ),
    ("ppo", "Pendulum-v1"): Preset(
        # The short horizon of γ = 0.9 is rl-baselines3-zoo's.
        PPOConfig(
            num_envs=8,
            num_steps=256,
            update_epochs=10,
            num_minibatches=32,
            learning_rate=1e-3,
            learning_rate_final=0.0,
            gamma=0.9,
        ),
        total_steps=200_000,
        threshold=-250.0,
        seeds=10,
        target="-250 in 8 of 10 seeds",
        reached="",
    ),
    ("ppo", "Breakout-MinAtar"): Preset(
        PPOConfig(
            num_envs=64,
            num_steps=64,
            update_epochs=4,
            num_minibatches=8,
            learning_rate=2e-3,
            learning_rate_final=0.0,
            ent_coef=0.01,
            hidden_sizes=(128,),
            activation="relu",
        ),
        total_steps=1_000_000,
        threshold=15.0,
        seeds=3,
        target="mean of 3 seeds of at least 15",
        reached="",
    ),
}
"""`(algorithm, environment)` to preset."""


def preset(algorithm: str, env: str) -> Preset | None:
    """The preset of that pair; `gymnax:` in front of a name makes no difference."""
    return PRESETS.get((algorithm, env.removeprefix("gymnax:")))
