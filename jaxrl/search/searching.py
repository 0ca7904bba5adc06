"""The search: propose, train, evaluate, reflect, and at the end select.

After §3.3 and §4.4 of ActionVLM (Gu et al. 2025), which follows Eureka (Ma et al. 2024,
arXiv:2310.12931), with what they lack: candidates and seeds train side by side, a program is never
run as Python, fitness is measured on rollouts that nothing was chosen by, and a search that is cut
off goes on where it was.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrl.errors import ConfigError, JaxrlError, check_range
from jaxrl.evaluation import evaluation_key
from jaxrl.rewards.program import Verdict, collect_steps, examine, for_author, programs
from jaxrl.run.folder import over_seeds, plain
from jaxrl.run.video import write_video
from jaxrl.search.archive import Archive
from jaxrl.search.camera import FILM_FPS, Camera
from jaxrl.search.propose import NoProposal, Proposer
from jaxrl.search.records import Candidate, Iteration, Proposal, best_of
from jaxrl.search.task import Task
from jaxrl.search.trainer import Trained, Trainer, candidate_policies, joined, native_returns
from jaxrl.types import Key, PolicyState, RewardSource

SELECTING, REPORTING, FITNESS = 1, 2, 1000
"""Streams of evaluation: which finalist, what the winner is worth, and each iteration's fitness."""


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


@dataclasses.dataclass(frozen=True)
class Result:
    """What a search found.

    Attributes:
        path: its folder.
        history: the iterations.
        winner: `(iteration, candidate)`, or None where no candidate could be trained.
        held_out: per seed, the winner's mean native return on rollouts that decided nothing.
        preflight: per lane, what the environment's own reward trained to; empty without one.
        stopped: why it ended before its last iteration, or "".
        seconds: of this process, by what they were spent on.
        cost: what the author's answers took, as far as it is known.
    """

    path: Path
    history: tuple[Iteration, ...]
    winner: tuple[int, int] | None
    held_out: tuple[float, ...]
    preflight: tuple[float, ...]
    stopped: str
    seconds: dict[str, float]
    cost: dict[str, Any]

    @property
    def score(self) -> float | None:
        """The winner's mean held-out fitness."""
        return float(np.mean(self.held_out)) if self.held_out else None

    @property
    def program(self) -> str | None:
        """The winner's text."""
        if self.winner is None:
            return None
        iteration, candidate = self.winner
        return self.history[iteration].candidates[candidate].proposal.source


def search(
    task: Task,
    proposer: Proposer,
    settings: Settings | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    trainer: Trainer | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Result:
    """Searches for a reward program.

    Args:
        task: the environment, the goal and the learner.
        proposer: the author.
        settings: see `Settings`.
        out: folder of the search; default a new temporary one.
        resume: folder of a search to go on with, instead of `out`.
        trainer: of an earlier search with the same task and settings, whose compiled programs are
            used again.
        say: told of each step in a line.

    Raises:
        ConfigError: a setting out of range.
        RunFolderError: `out` holds a search, or `resume` none or another.
        JaxrlError: the environment's own reward trains nothing: no program could.
        ModelError: the author cannot be asked; what is done can be resumed.
    """
    settings = settings or Settings()
    settings.check()
    if out is not None and resume is not None:
        raise ConfigError("out and resume name two folders: a resumed search goes on in its own.")
    path = Path(resume or out or tempfile.mkdtemp(prefix="jaxrl-search-"))
    archive = Archive(path)
    asked = {
        "env": task.name,
        "env_params": plain(task.params),
        "goal": task.goal,
        "author": proposer.name,
        "learner": plain(task.config),
        **dataclasses.asdict(settings),
    }
    history = archive.begin(asked, resume=resume is not None)
    return _Search(task, proposer, settings, archive, history, trainer, say).run()


def trainer_for(task: Task, settings: Settings) -> Trainer:
    """The trainer of a search, to be shared by several of the same task and settings."""
    return Trainer(
        task,
        num_candidates=settings.candidates,
        num_seeds=settings.seeds,
        total_steps=settings.total_steps,
        eval_every=settings.eval_every,
        rollouts=settings.rollouts,
    )


class _Search:
    """One search under way."""

    def __init__(
        self,
        task: Task,
        proposer: Proposer,
        settings: Settings,
        archive: Archive,
        history: list[Iteration],
        trainer: Trainer | None,
        say: Callable[[str], None],
    ) -> None:
        self.task, self.proposer, self.settings = task, proposer, settings
        self.archive, self.history, self.say = archive, history, say
        self.trainer = trainer or trainer_for(task, settings)
        self.camera = Camera(task)
        if settings.screenshots and not self.camera.works:
            raise ConfigError(f"{task.name} cannot be drawn: search with screenshots off.")
        self.steps = collect_steps(task.env, task.params, seed=settings.seed)
        self.seconds: dict[str, float] = {}

    def run(self) -> Result:
        """All of it."""
        preflight, stopped = self._preflight(), ""
        while len(self.history) < self.settings.iterations and not stopped:
            number = len(self.history)
            try:
                iteration = self._iterate(number)
            except NoProposal as nothing:
                stopped = str(nothing) if nothing.last else ""
                iteration = Iteration(number, (), error=str(nothing))
            if stopped:
                break
            self.archive.add(iteration)
            self.history.append(iteration)
            self.say(_line(iteration))
            stopped = self._stop_loss()
        winner, held_out = self._select()
        result = Result(
            self.archive.path,
            tuple(self.history),
            winner,
            held_out,
            preflight,
            stopped,
            self.seconds,
            self.proposer.cost(),
        )
        self.archive.write("result.json", _plain_result(result))
        return result

    def _preflight(self) -> tuple[float, ...]:
        """What the environment's own reward trains, on the path that programs will take."""
        if not self.settings.preflight:
            return ()
        done = self.archive.read("preflight.json")
        if done is not None:
            return tuple(done["fitness"])
        lanes = self.trainer.lanes(self.settings.seed, distinct=True)
        trained = self.trainer.train(native(), lanes)
        self._count(trained.seconds)
        key = self._key(FITNESS - 1)
        before, after = (
            np.asarray(native_returns(self.trainer.play(policies, key))[0]).mean(-1)
            for policies in (self.trainer.untrained(lanes), trained.policies)
        )
        if not after.mean() > before.mean():
            raise JaxrlError(
                f"{self.task.name}'s own reward trains nothing on this path: {after.mean():.4g} after "
                f"{self.settings.total_steps} steps, {before.mean():.4g} before. It is the environment "
                "or PPO's settings, not the rewards: give more --steps or other settings first."
            )
        fitness = [float(x) for x in after]
        about = {"fitness": fitness, "untrained": [float(x) for x in before]}
        self.archive.write("preflight.json", about)
        self.say(f"preflight: own reward {before.mean():.4g} → {after.mean():.4g}")
        return tuple(fitness)

    def _iterate(self, number: int) -> Iteration:
        began = time.perf_counter()
        proposals = self.proposer.propose(self.history, self.settings.candidates, self._images())
        if not proposals:
            raise NoProposal(f"{self.proposer.name} proposed nothing")
        proposals = proposals[: self.settings.candidates]
        proposed = time.perf_counter() - began
        verdicts = self._examine(proposals)
        accepted = [i for i, verdict in enumerate(verdicts) if verdict.passed]
        candidates = [
            _examined(proposal, verdict)
            for proposal, verdict in zip(proposals, verdicts, strict=True)
        ]
        seconds: dict[str, float] = {"propose": proposed}
        shots = 0
        if accepted:
            texts = [verdicts[i].program for i in accepted]
            # Always K slices: with fewer lanes everything would have to be compiled anew.
            padded = [*texts, *[texts[0]] * (self.settings.candidates - len(texts))]
            source = programs(self.task.env, padded, self.settings.seeds, self.task.params)
            trained = self.trainer.train(source, self.trainer.lanes(self.settings.seed))
            seconds |= trained.seconds
            shots = self._finish(number, candidates, accepted, trained)
        seconds["all"] = time.perf_counter() - began
        self._count(seconds)
        return Iteration(number, tuple(candidates), seconds, shots=shots)

    def _examine(self, proposals: Sequence[Proposal]) -> list[Verdict]:
        """Sends proposals through the gates, each of them beside those before it."""
        known = [
            examine(c.proposal.source, self.task.schema, self.steps) for c in self._trained_before()
        ]
        verdicts: list[Verdict] = []
        for proposal in proposals:
            others = [*known, *verdicts]
            verdicts.append(examine(proposal.source, self.task.schema, self.steps, known=others))
        return verdicts

    def _trained_before(self) -> list[Candidate]:
        return [c for i in self.history for c in i.candidates if c.curves is not None]

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
                fitness=() if failed else tuple(float(x) for x in mine),
            )
            if self.settings.films and self.camera.works:
                frames = self.camera.film(played, slot * seeds + _middle(mine))
                write_video(frames, self.archive.film(number, index), FILM_FPS)
        best = Iteration(number, tuple(candidates)).best
        if best is None:
            return 0
        slot = accepted.index(best)
        self.archive.save_policies(number, candidate_policies(trained.policies, slot, seeds))
        if not self.camera.works:
            return 0
        lane = slot * seeds + _middle(np.array(candidates[best].fitness))
        frames = self.camera.shots(played, lane)
        self.archive.save_shots(number, frames)
        return len(frames)

    def _images(self) -> list[Any]:
        found = best_of(self.history) if self.settings.screenshots else None
        return [] if found is None else self.archive.shots(self.history[found[0]])

    def _stop_loss(self) -> str:
        last = self.history[-self.settings.patience :]
        if len(last) < self.settings.patience or any(i.best is not None for i in last):
            return ""
        return (
            f"the last {len(last)} iterations had no candidate that could be trained: see why in "
            "the report, and try another author"
        )

    def _select(self) -> tuple[tuple[int, int] | None, tuple[float, ...]]:
        """The winner among the iterations' best, and its fitness on rollouts that chose nothing."""
        finalists = [i for i in self.history if i.best is not None]
        if not finalists:
            return None, ()
        began = time.perf_counter()
        trained = self.trainer.task.algorithm
        like = jax.eval_shape(
            lambda key: _policy(trained.init(key, self.task.params, 1)), jax.random.key(0)
        )
        like = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((self.settings.seeds, *x.shape), x.dtype), like
        )
        policies = [self.archive.load_policies(i.number, like) for i in finalists]
        scores = [s.mean() for s in self._held_out(policies, SELECTING)]
        at = int(np.argmax(scores))
        held_out = self._held_out([policies[at]], REPORTING)[0]
        self._count({"select": time.perf_counter() - began})
        chosen = finalists[at]
        assert chosen.best is not None
        return (chosen.number, chosen.best), tuple(float(x) for x in held_out)

    def _held_out(self, policies: list[PolicyState], stream: int) -> list[np.ndarray]:
        """Mean native returns `[S]` of each, on the stream's start states."""
        count, seeds = self.settings.candidates, self.settings.seeds
        found = []
        for first in range(0, len(policies), count):
            group = policies[first : first + count]
            # As many lanes as ever, so that nothing has to be compiled.
            lanes = joined([*group, *[group[0]] * (count - len(group))])
            keys = jax.random.split(self._key(stream), self.settings.held_out)
            returns = [native_returns(self.trainer.play(lanes, key))[0] for key in keys]
            means = np.concatenate([np.asarray(r, np.float64) for r in returns], axis=-1).mean(-1)
            found += [means[k * seeds : (k + 1) * seeds] for k in range(len(group))]
        return found

    def _key(self, stream: int) -> Key:
        return jax.random.fold_in(evaluation_key(self.settings.seed), stream)

    def _count(self, seconds: dict[str, float]) -> None:
        for name, value in seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + value


def native() -> RewardSource:
    """The environment's own reward, on the path of programs: every step's state is kept for it."""
    return RewardSource("native", lambda key: (), lambda s, t: (s, t, {}), "every_step")


def _policy(state: Any) -> PolicyState:
    return PolicyState(state.params, state.obs_stats)


def _examined(proposal: Proposal, verdict: Verdict) -> Candidate:
    return Candidate(
        proposal,
        None if verdict.program is None else verdict.program.id,
        for_author(verdict.refusals, proposal.source),
    )


def _middle(fitness: np.ndarray) -> int:
    """The seed whose fitness is the median, or just below it."""
    return int(np.argsort(fitness)[(len(fitness) - 1) // 2])


def _line(iteration: Iteration) -> str:
    if iteration.error:
        return f"iteration {iteration.number}: no candidate ({iteration.error})"
    said = []
    for candidate in iteration.candidates:
        if candidate.refusals:
            said.append("refused")
        elif candidate.score is None:
            said.append("diverged")
        else:
            said.append(f"{candidate.score:.4g}")
    seconds = iteration.seconds["all"]
    return f"iteration {iteration.number}: fitness {', '.join(said)} ({seconds:.1f} s)"


def _plain_result(result: Result) -> dict[str, Any]:
    held_out = np.array(result.held_out)
    return {
        "winner": result.winner,
        "program": result.program,
        "held_out": list(result.held_out),
        **(over_seeds(held_out) if held_out.size else {"iqm": None, "ci95": None}),
        "preflight": list(result.preflight),
        "stopped": result.stopped,
        "seconds": result.seconds,
        "cost": result.cost,
    }
