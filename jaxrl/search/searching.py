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

from jaxrl.errors import ConfigError
from jaxrl.run.folder import over_seeds, plain
from jaxrl.search.archive import Archive
from jaxrl.search.propose import NoProposal, Proposer
from jaxrl.search.records import Iteration
from jaxrl.search.rounds import REPORTING, SELECTING, Rounds
from jaxrl.search.settings import Settings
from jaxrl.search.task import Task
from jaxrl.search.trainer import Trainer
from jaxrl.types import PolicyState

Winner = tuple[int, int]
"""`(iteration, candidate)`."""


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
    winner: Winner | None
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

    def to_json(self) -> dict[str, Any]:
        """`result.json`."""
        held_out = np.array(self.held_out)
        return {
            "winner": self.winner,
            "program": self.program,
            "held_out": list(self.held_out),
            **(over_seeds(held_out) if held_out.size else {"iqm": None, "ci95": None}),
            "preflight": list(self.preflight),
            "stopped": self.stopped,
            "seconds": self.seconds,
            "cost": self.cost,
        }


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
    archive = Archive(resume or out or tempfile.mkdtemp(prefix="jaxrl-search-"))
    history = archive.begin(_asked(task, proposer, settings), resume=resume is not None)
    rounds = Rounds(task, proposer, settings, archive, trainer or trainer_for(task, settings))
    preflight = rounds.preflight()
    if preflight:
        say(f"preflight: the environment's own reward trains to {np.mean(preflight):.4g}")
    stopped = _go_on(rounds, history, say)
    winner, held_out = _select(rounds, history)
    result = Result(
        archive.path,
        tuple(history),
        winner,
        held_out,
        preflight,
        stopped,
        rounds.seconds,
        proposer.cost(),
    )
    archive.write("result.json", result.to_json())
    return result


def _asked(task: Task, proposer: Proposer, settings: Settings) -> dict[str, Any]:
    """What a search is of, as plain data: whoever resumes it must ask for the same."""
    return {
        "env": task.name,
        "env_params": plain(task.params),
        "goal": task.goal,
        "schema": task.schema.to_json(),
        "author": proposer.name,
        "learner": plain(task.config),
        **dataclasses.asdict(settings),
    }


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


def _go_on(rounds: Rounds, history: list[Iteration], say: Callable[[str], None]) -> str:
    """Adds iterations to the history until it is long enough; why it is not, or ""."""
    settings = rounds.settings
    while len(history) < settings.iterations:
        stopped = _stop_loss(history, settings.patience)
        if stopped:
            return stopped
        number = len(history)
        try:
            iteration = rounds.iterate(number, history)
        except NoProposal as nothing:
            if nothing.last:
                return str(nothing)
            iteration = Iteration(number, (), error=str(nothing))
        rounds.archive.add(iteration)
        history.append(iteration)
        say(_line(iteration))
    return ""


def _stop_loss(history: Sequence[Iteration], patience: int) -> str:
    """Why to stop after iterations of which none had anything to train, or ""."""
    last = history[-patience:]
    if len(last) < patience or any(i.best is not None for i in last):
        return ""
    return (
        f"the last {len(last)} iterations had no candidate that could be trained: see why in the "
        "report, and try another author"
    )


def _select(
    rounds: Rounds, history: Sequence[Iteration]
) -> tuple[Winner | None, tuple[float, ...]]:
    """The winner among the iterations' best, and its fitness on rollouts that chose nothing."""
    finalists = [i for i in history if i.best is not None]
    if not finalists:
        return None, ()
    began = time.perf_counter()
    like = _policies_like(rounds)
    policies = [rounds.archive.load_policies(i.number, like) for i in finalists]
    scores = [fitness.mean() for fitness in rounds.held_out(policies, SELECTING)]
    at = int(np.argmax(scores))
    held_out = rounds.held_out([policies[at]], REPORTING)[0]
    rounds.count({"select": time.perf_counter() - began})
    chosen = finalists[at]
    assert chosen.best is not None
    return (chosen.number, chosen.best), tuple(held_out.tolist())


def _policies_like(rounds: Rounds) -> PolicyState:
    """Shapes of one candidate's policies `[S]`."""
    task = rounds.task

    def one(key: jax.Array) -> PolicyState:
        state = task.algorithm.init(key, task.params, 1)
        return PolicyState(state.params, state.obs_stats)

    shapes = jax.eval_shape(one, jax.random.key(0))
    seeds = rounds.settings.seeds
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((seeds, *x.shape), x.dtype), shapes)


def _line(iteration: Iteration) -> str:
    if iteration.error:
        return f"iteration {iteration.number}: no candidate ({iteration.error})"
    said = []
    for candidate in iteration.candidates:
        if candidate.refusals:
            said.append("refused")
        else:
            said.append("diverged" if candidate.score is None else f"{candidate.score:.4g}")
    seconds = iteration.seconds["all"]
    return f"iteration {iteration.number}: fitness {', '.join(said)} ({seconds:.1f} s)"
