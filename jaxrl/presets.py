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
        target: how many of ten seeds are to reach the threshold, or their mean if None.
        reached: what was measured.
    """

    config: Any
    total_steps: int
    threshold: float
    target: str
    reached: str


PRESETS: dict[tuple[str, str], Preset] = {}
"""`(algorithm, environment)` to preset."""


def preset(algorithm: str, env: str) -> Preset | None:
    """The preset of that pair; `gymnax:` in front of a name makes no difference."""
    return PRESETS.get((algorithm, env.removeprefix("gymnax:")))
