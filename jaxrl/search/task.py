"""What is searched for: an environment whose quantities have names, a goal in words, a learner."""

from __future__ import annotations

import dataclasses
import inspect
from functools import cached_property
from typing import Any

from jaxrl.algorithms.ppo import PPOConfig, ppo
from jaxrl.environment import env_name, supports_describe
from jaxrl.errors import ConfigError
from jaxrl.rewards.program import Schema, Steps, collect_steps, schema_of
from jaxrl.types import Algorithm, EnvParams

GOALS = {
    "CartPole-v1": "Keep the pole upright for as long as possible. An episode ends when the pole "
    "tilts by more than 12 degrees or the cart leaves the track (2.4 m to either side of the "
    "middle), and after 500 steps at the latest.",
    "CartPoleSwing-v0": "Keep the pole upright and at the same time move the cart back and forth "
    "between the zones at the left and the right, again and again, as quickly as possible. The "
    "zones begin swing_threshold metres from the middle. An episode ends when the pole tilts by "
    "more than 12 degrees or the cart leaves the track (2.4 m to either side), and after 2000 "
    "steps at the latest.",
    "LunarLander-v3": "Land on the pad between the flags: come down slowly and upright, touch the "
    "ground with both legs, come to rest, and use little fuel. An episode ends when the lander "
    "crashes, drifts out of sight or has come to rest.",
    "Acrobot-v1": "Swing the lower end of the two links above the line, one link's length over "
    "the joint that they hang from, as soon as possible. The episode ends when it is there, and "
    "after 500 steps at the latest.",
}
"""What an author is told to want. Other environments are described by their own docstring."""

LEARNER = PPOConfig(
    num_envs=16,
    num_steps=125,
    update_epochs=4,
    num_minibatches=16,
    learning_rate=2e-3,
    learning_rate_final=0.0,
    normalize_reward=True,
    hidden_sizes=(32, 32),
)
"""PPO as candidates are trained by: five updates of 2000 steps between two evaluations.

Rewards are scaled by their own returns, because an author may write them in any size.
"""


@dataclasses.dataclass(frozen=True)
class Task:
    """An environment, what to want in it, and who learns.

    Attributes:
        env: an environment with `describe`.
        params: its parameters.
        goal: in words, for authors.
        config: PPO's settings, the same for every candidate.
    """

    env: Any
    params: EnvParams
    goal: str
    config: PPOConfig = LEARNER

    @classmethod
    def of(
        cls,
        env: Any,
        params: EnvParams | None = None,
        *,
        goal: str | None = None,
        config: PPOConfig | None = None,
    ) -> Task:
        """A task; the goal is by default that of `GOALS`, or what the environment says of itself.

        Raises:
            ConfigError: an environment without `describe`, or of which no goal is known.
        """
        if not supports_describe(env):
            raise ConfigError(
                f"{env_name(env)} does not name the quantities of its state, in which rewards are "
                "written: give it describe(state, params) -> dict and quantities = {name: (unit, "
                "meaning)}, or search in one that has them (`jaxrl envs` lists which)."
            )
        goal = goal or GOALS.get(env_name(env)) or GOALS.get(env.name)
        goal = goal or inspect.getdoc(type(env))
        if not goal:
            raise ConfigError(
                f"nobody knows what to want in {env_name(env)}: give the goal in words."
            )
        params = env.default_params if params is None else params
        return cls(env, params, goal, config or LEARNER)

    @property
    def name(self) -> str:
        """The environment's name."""
        return env_name(self.env)

    @cached_property
    def schema(self) -> Schema:
        """What programs can read."""
        return schema_of(self.env, self.params)

    @cached_property
    def steps(self) -> Steps:
        """Stored steps on which programs are tried before anything trains with them."""
        return collect_steps(self.env, self.params)

    @cached_property
    def algorithm(self) -> Algorithm:
        """PPO for the environment."""
        return ppo(self.env, self.config)
