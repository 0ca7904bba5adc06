"""One round of a search: propose, examine, train, evaluate; and the preflight before the first.

Nothing here is kept between rounds but what was compiled: a round is made of the history that lies
in the archive, so that a search that was cut off goes on as if it had not been.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxrl.errors import ConfigError, JaxrlError
from jaxrl.evaluation import evaluation_key
from jaxrl.rewards.program import Verdict, examine, for_author, programs
from jaxrl.run.video import write_video
from jaxrl.search.archive import Archive
from jaxrl.search.camera import FILM_FPS, Camera
from jaxrl.search.propose import NoProposal, Proposer
from jaxrl.search.records import Candidate, Iteration, Proposal, best_of
from jaxrl.search.settings import Settings
from jaxrl.search.task import Task
from jaxrl.search.trainer import Trained, Trainer, candidate_policies, joined, native_returns
from jaxrl.types import Key, PolicyState, RewardSource

PREFLIGHT, SELECTING, REPORTING, FITNESS = 0, 1, 2, 1000
"""Streams of evaluation: of the preflight, which finalist, the winner, and each iteration's."""


class Rounds:
    """Makes the rounds of one search.

    Attributes:
        trainer: trains the candidates of a round.
        seconds: what everything took so far, by what it was spent on.
    """

    def __init__(
        self,
        task: Task,
        proposer: Proposer,
        settings: Settings,
        archive: Archive,
        trainer: Trainer,
    ) -> None:
        """Raises `ConfigError` for screenshots of an environment that cannot be drawn."""
        self.task, self.proposer, self.settings = task, proposer, settings
        self.archive, self.trainer = archive, trainer
        self.camera = Camera(task)
        if settings.screenshots and not self.camera.works:
            raise ConfigError(f"{task.name} cannot be drawn: search with screenshots off.")
        self.seconds: dict[str, float] = {}
        self._verdicts: dict[str, Verdict] = {}

    def preflight(self) -> tuple[float, ...]:
        """What the environment's own reward trains to, per lane; `()` where it is not asked for.

        Raises:
            JaxrlError: to no more than there was before training.
        """
        if not self.settings.preflight:
            return ()
        done = self.archive.read("preflight.json")
        if done is not None:
            return tuple(done["fitness"])
        lanes = self.trainer.lanes(self.settings.seed, distinct=True)
        trained = self.trainer.train(native(), lanes)
        self.count(trained.seconds)
        before, after = (
            self.fitness(policies, PREFLIGHT)
            for policies in (self.trainer.untrained(lanes), trained.policies)
        )
        if not after.mean() > before.mean():
            raise JaxrlError(
                f"{self.task.name}'s own reward trains nothing on this path: {after.mean():.4g} "
                f"after {self.settings.total_steps} steps, {before.mean():.4g} before. It is the "
                "environment or PPO's settings, not the rewards: give more steps or other settings."
            )
        about = {"fitness": after.tolist(), "untrained": before.tolist()}
        self.archive.write("preflight.json", about)
        return tuple(after.tolist())

    def iterate(self, number: int, history: Sequence[Iteration]) -> Iteration:
        """The next iteration, with all that belongs to it in the archive but itself.

        Raises:
            NoProposal, ModelError: see `Proposer.propose`.
        """
        began = time.perf_counter()
        found = best_of(list(history)) if self.settings.screenshots else None
        images = [] if found is None else self.archive.shots(history[found[0]])
        count = self.settings.candidates
        proposals = self.proposer.propose(history, count, images)[:count]
        if not proposals:
            raise NoProposal(f"{self.proposer.name} proposed nothing")
        seconds = {"propose": time.perf_counter() - began}
        verdicts = self._examine(proposals, history)
        accepted = [i for i, verdict in enumerate(verdicts) if verdict.passed]
        pairs = zip(proposals, verdicts, strict=True)
        candidates = [_examined(proposal, verdict) for proposal, verdict in pairs]
        shots = 0
        if accepted:
            texts = [verdicts[i].program for i in accepted]
            # Always K slices: with fewer lanes everything would have to be compiled anew.
            padded = [*texts, *[texts[0]] * (count - len(texts))]
            source = programs(self.task.env, padded, self.settings.seeds, self.task.params)
            trained = self.trainer.train(source, self.trainer.lanes(self.settings.seed))
            seconds |= trained.seconds
            shots = self._finish(number, candidates, accepted, trained)
        seconds["all"] = time.perf_counter() - began
        self.count(seconds)
        return Iteration(number, tuple(candidates), seconds, shots=shots)

    def fitness(self, policies: Any, stream: int, rollouts: int = 1) -> np.ndarray:
        """Mean native returns `[K·S]` on start states that only this stream has.

        Args:
            policies: of all lanes.
            stream: which start states.
            rollouts: times the rollouts of an evaluation.
        """
        keys = jax.random.split(self._key(stream), rollouts)
        returns = [native_returns(self.trainer.play(policies, key))[0] for key in keys]
        return np.concatenate([np.asarray(r, np.float64) for r in returns], axis=-1).mean(-1)

    def held_out(self, policies: Sequence[PolicyState], stream: int) -> list[np.ndarray]:
        """Mean native returns `[S]` of each candidate's policies, on a stream's start states."""
        count, seeds = self.settings.candidates, self.settings.seeds
        found = []
        for first in range(0, len(policies), count):
            group = policies[first : first + count]
            # As many lanes as ever, so that nothing has to be compiled.
            lanes = joined([*group, *[group[0]] * (count - len(group))])
            means = self.fitness(lanes, stream, self.settings.held_out)
            found += [means[k * seeds : (k + 1) * seeds] for k in range(len(group))]
        return found

    def count(self, seconds: dict[str, float]) -> None:
        """Adds to `self.seconds`."""
        for name, value in seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + value

    def _examine(
        self, proposals: Sequence[Proposal], history: Sequence[Iteration]
    ) -> list[Verdict]:
        """Sends proposals through the gates, each beside what was trained and those before it."""
        trained = [c for i in history for c in i.candidates if c.curves is not None]
        known = [self._verdict_of(candidate) for candidate in trained]
        verdicts: list[Verdict] = []
        for proposal in proposals:
            verdict = examine(
                proposal.source, self.task.schema, self.task.steps, known=[*known, *verdicts]
            )
            verdicts.append(verdict)
            if verdict.passed:
                self._verdicts[proposal.source] = verdict
        return verdicts

    def _verdict_of(self, candidate: Candidate) -> Verdict:
        """The verdict of an earlier iteration, made again where that was in another process."""
        source = candidate.proposal.source
        if source not in self._verdicts:
            self._verdicts[source] = examine(source, self.task.schema, self.task.steps)
        return self._verdicts[source]

    def _finish(
        self, number: int, candidates: list[Candidate], accepted: list[int], trained: Trained
    ) -> int:
        """Measures what was trained, in place; keeps the best's policies and pictures."""
        played = self.trainer.play(trained.policies, self._key(FITNESS + number))
        returns = np.asarray(native_returns(played)[0], np.float64).mean(-1)
        seeds = self.settings.seeds
        for slot, index in enumerate(accepted):
            diverged = trained.diverged[slot]
            mine = returns[slot * seeds : (slot + 1) * seeds]
            failed = any(update is not None for update in diverged)
            candidates[index] = dataclasses.replace(
                candidates[index],
                diverged=diverged,
                curves=trained.curves[slot],
                fitness=() if failed else tuple(mine.tolist()),
            )
            if self.settings.films and self.camera.works:
                frames = self.camera.film(played, slot * seeds + _middle(mine))
                write_video(frames, self.archive.film(number, index), FILM_FPS)
        best = Iteration(number, tuple(candidates)).best
        if best is None:
            return 0
        slot = accepted.index(best)
        self.archive.save_policies(number, candidate_policies(trained.policies, slot, seeds))
        if not self.settings.screenshots:
            return 0
        lane = slot * seeds + _middle(np.array(candidates[best].fitness))
        frames = self.camera.shots(played, lane)
        self.archive.save_shots(number, frames)
        return len(frames)

    def _key(self, stream: int) -> Key:
        return jax.random.fold_in(evaluation_key(self.settings.seed), stream)


def native() -> RewardSource:
    """The environment's own reward, on the path of programs: every step's state is kept for it."""
    return RewardSource("native", lambda key: (), lambda s, t: (s, t, {}), "every_step")


def _examined(proposal: Proposal, verdict: Verdict) -> Candidate:
    return Candidate(
        proposal,
        None if verdict.program is None else verdict.program.id,
        for_author(verdict.refusals, proposal.source),
    )


def _middle(fitness: np.ndarray) -> int:
    """The seed whose fitness is the median, or just below it."""
    return int(np.argsort(fitness)[(len(fitness) - 1) // 2])
