"""When a run does what: log points, evaluations, checkpoints, counted in updates."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from jaxrl.errors import ConfigError, check_range


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run does when. Intervals are in updates; the last update is due for everything."""

    total_updates: int
    log_every: int
    eval_every: int
    checkpoint_every: int
    eval_episodes: int
    eval_greedy: bool
    eval_seed: int
    max_episode_steps: int | None
    threshold: float | None
    stop_at_threshold: bool

    def due(self, update: int, every: int) -> bool:
        """Whether something done every so many updates (0: only at the end) is due."""
        return update == self.total_updates or (every > 0 and update % every == 0)

    def evaluates(self, update: int) -> bool:
        """Whether the policy is evaluated after this update."""
        return self.eval_episodes > 0 and self.due(update, self.eval_every)

    def stops_after(self, update: int) -> list[int]:
        """The updates after which the host takes over, from the next one on."""
        intervals = (self.log_every, self.eval_every, self.checkpoint_every)
        stops = {self.total_updates}
        for every in filter(None, intervals):
            stops |= set(range(every, self.total_updates, every))
        return sorted(stop for stop in stops if stop > update)


def make_plan(steps_per_update: int, total_steps: int, **settings: Any) -> Plan:
    """The plan of a run of whole updates, its intervals turned from steps into updates.

    Args:
        steps_per_update: environment steps per seed and update.
        total_steps: environment steps per seed, rounded up to whole updates.
        **settings: the other fields of `Plan`, intervals in steps; None takes a default.

    Raises:
        ConfigError: a setting out of range, or a threshold that nothing would be compared with.
    """
    check_range("total_steps", total_steps, 1)
    check_range("eval_episodes", settings["eval_episodes"], 0)
    total = math.ceil(total_steps / steps_per_update)
    for name, share in {"log_every": 100, "eval_every": 20, "checkpoint_every": 10}.items():
        steps = settings[name]
        check_range(name, steps, 0)
        default = math.ceil(total / share)
        settings[name] = default if steps is None else math.ceil(steps / steps_per_update)
    if settings["stop_at_threshold"] and settings["threshold"] is None:
        raise ConfigError("stop_at_threshold needs a threshold: give threshold=..., a return.")
    if settings["threshold"] is not None and settings["eval_episodes"] == 0:
        raise ConfigError("a threshold needs evaluations: give eval_episodes of at least 1.")
    return Plan(total_updates=total, **settings)
