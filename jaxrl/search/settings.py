"""What a search is to do."""

from __future__ import annotations

import dataclasses

from jaxrl.errors import check_range


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a search is to do. Defaults are those of ActionVLM's §3.3.

    Attributes:
        iterations: rounds of proposing.
        candidates: programs a round, `K`.
        total_steps: environment steps that a candidate trains for, per seed.
        seeds: trainings of each candidate, `S`.
        eval_every: steps between evaluations on the way.
        rollouts: episodes of one evaluation, per seed.
        screenshots: whether the author sees the best candidate's rollout.
        patience: iterations without any trained candidate after which the search ends.
        held_out: times `rollouts` episodes by which finalists are told apart, and as many again to
            measure the winner.
        seed: of training and of start states.
        preflight: whether the environment's own reward is trained first, on the same path.
        films: whether every candidate is filmed, where the environment can be drawn.
    """

    iterations: int = 7
    candidates: int = 3
    total_steps: int = 300_000
    seeds: int = 5
    eval_every: int = 10_000
    rollouts: int = 5
    screenshots: bool = False
    patience: int = 3
    held_out: int = 4
    seed: int = 0
    preflight: bool = True
    films: bool = True

    def check(self) -> None:
        """Raises `ConfigError` for a setting out of range."""
        for name in ("iterations", "candidates", "total_steps", "seeds", "eval_every", "rollouts"):
            check_range(name, getattr(self, name), 1)
        check_range("patience", self.patience, 1)
        check_range("held_out", self.held_out, 1)
        check_range("seed", self.seed, 0, 2**32 - 1 - self.seeds * self.candidates)
