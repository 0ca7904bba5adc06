"""Training and evaluating candidates: all of them and all of their seeds side by side.

`K` candidates of `S` seeds are `K·S` lanes of one run, candidate after candidate; a candidate's
seeds start from the same keys as another's. Every so many steps the policies play whole episodes.
Each episode is counted twice: in the environment's own reward, which is the fitness, and in the
candidate's, with its components.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.environment import episode_limit
from jaxrl.episodes import rollout_episodes
from jaxrl.evaluation import evaluation_key
from jaxrl.programs import Lane
from jaxrl.search.records import Curves
from jaxrl.search.stages import Stages, compiled
from jaxrl.search.task import Task
from jaxrl.training import train
from jaxrl.types import Key, PolicyState, PyTree, RewardSource, Trajectory
from jaxrl.vector import reset_batch

COMPONENT = "reward/"
TOTAL = "reward/total"


@dataclasses.dataclass(frozen=True)
class Trained:
    """What training `K·S` lanes gave.

    Attributes:
        curves: one a candidate; a component that another candidate has is in none but its own.
        diverged: per candidate and seed, the update after which numbers were not finite, or None.
        policies: policy states after the last update, leading axis `K·S`.
        seconds: `compile`, `train` and `evaluate`.
    """

    curves: tuple[Curves, ...]
    diverged: tuple[tuple[int | None, ...], ...]
    policies: PolicyState
    seconds: dict[str, float]


class Trainer:
    """Trains the candidates of a task; what it compiles it keeps for the next ones.

    Attributes:
        stages: the programs of training.
        num_candidates, num_seeds: `K` and `S`.
    """

    def __init__(
        self,
        task: Task,
        *,
        num_candidates: int,
        num_seeds: int,
        total_steps: int,
        eval_every: int,
        rollouts: int,
    ) -> None:
        """Nothing is compiled yet.

        Args:
            task: what is trained.
            num_candidates, num_seeds: `K` and `S`.
            total_steps: environment steps of a lane.
            eval_every: steps between evaluations.
            rollouts: episodes of an evaluation, for each lane.

        Raises:
            ConfigError: an environment without a time limit.
        """
        self.task, self.num_candidates, self.num_seeds = task, num_candidates, num_seeds
        self.total_steps, self.eval_every, self.rollouts = total_steps, eval_every, rollouts
        self.limit = episode_limit(task.env, task.params, None, "max_episode_steps")
        self.stages = Stages(task.algorithm)

    def lanes(self, seed: int, *, distinct: bool = False) -> list[Lane]:
        """The `K·S` lanes; `distinct` gives each a seed of its own, not each of a candidate's."""
        config = self.task.algorithm.config
        return [
            Lane(seed + s + k * self.num_seeds * distinct, config, {"candidate": k})
            for k in range(self.num_candidates)
            for s in range(self.num_seeds)
        ]

    def train(self, reward: RewardSource, lanes: Sequence[Lane]) -> Trained:
        """Trains all lanes with a reward, and evaluates them on the way.

        Args:
            reward: of `K` candidates on their slices; must keep every step's state.
            lanes: what `self.lanes` gave.
        """
        observer = _Observer(self, reward)
        result = train(
            self.task.algorithm,
            self.task.params,
            total_steps=self.total_steps,
            lanes=lanes,
            reward=reward,
            log_every=self.eval_every,
            checkpoint_every=self.eval_every,
            eval_episodes=0,
            callbacks=[observer],
            on_divergence="mark",
            compiler=self.stages,
        )
        shape = (self.num_candidates, self.num_seeds)
        diverged = np.array(result.diverged, object).reshape(shape)
        return Trained(
            observer.curves(),
            tuple(map(tuple, diverged.tolist())),
            PolicyState(result.state.params, result.state.obs_stats),
            {
                "compile": result.compile_seconds + observer.compile_seconds,
                "train": result.train_seconds,
                "evaluate": observer.seconds,
            },
        )

    def untrained(self, lanes: Sequence[Lane]) -> PolicyState:
        """The policies of as many lanes before their first update; only after a training."""
        fresh = self.stages.fresh(lanes, self.task.params)
        return PolicyState(fresh.params, fresh.obs_stats)

    def play(self, policies: PolicyState, key: Key, episodes: int | None = None) -> Trajectory:
        """Whole episodes of each lane's policy, greedy, `[K·S, T, E]`, with all states.

        Rows beyond an episode's end are marked not `valid`, and hold nothing. The same key is
        the same start states for every lane.
        """
        return self._play(policies, key, episodes or self.rollouts)

    @cached_property
    def _play(self) -> Any:
        env, params, act = self.task.env, self.task.params, self.task.algorithm.act

        def play_one(policy: PolicyState, key: Key, episodes: int) -> Trajectory:
            key_start, key_play = jax.random.split(key)
            return rollout_episodes(
                env,
                params,
                reset_batch(env, key_start, params, episodes),
                lambda key: key,
                lambda obs, key: (act(policy, obs, key, greedy=True), ()),
                key_play,
                self.limit,
                record="every_step",
            ).trajectory

        def play(policies: PolicyState, key: Key, episodes: int) -> Trajectory:
            return jax.vmap(play_one, (0, None, None))(policies, key, episodes)

        return jax.jit(play, static_argnums=2)


@jax.jit
def native_returns(played: Trajectory) -> tuple[jax.Array, jax.Array]:
    """Returns in the environment's own reward and lengths of episodes, each `[..., E]`."""
    return played.reward.sum(-2), played.valid.sum(-2)


class _Observer:
    """Evaluates the lanes whenever the run makes a checkpoint; a `Callback`.

    A thread of its own does it, on a copy of the policies, while training goes on.
    """

    def __init__(self, trainer: Trainer, reward: RewardSource) -> None:
        self.trainer, self.reward = trainer, reward
        self.pending: list[Future[dict[str, np.ndarray]]] = []
        self.steps: list[int] = []
        self.seconds = self.compile_seconds = 0.0
        self.score: Any = None
        self.thread = ThreadPoolExecutor(1, "evaluation")

    def on_start(self, info: Any) -> None:
        """Has nothing to do."""

    def on_log(self, point: Any) -> bool:
        """Never stops a run."""
        return False

    def on_end(self, result: Any) -> None:
        """Waits for the evaluations that are under way."""
        self.thread.shutdown()

    def on_checkpoint(self, update: int, state: PyTree, point: Any) -> None:
        """Plays and scores; the start states are the same at every point of every search."""
        trained = state["train"]
        policies = PolicyState(trained.params, trained.obs_stats)
        # Copied before returning: the next chunk takes the memory.
        policies, reward = jax.block_until_ready(
            jax.tree.map(jnp.copy, (policies, state["reward"]))
        )
        self.steps.append(point.step)
        self.pending.append(self.thread.submit(self._point, policies, reward))

    def _point(self, policies: PolicyState, reward: PyTree) -> dict[str, np.ndarray]:
        """All that is kept of an evaluation, each `[K·S]`."""
        began = time.perf_counter()
        played = self.trainer.play(policies, evaluation_key(0))
        if self.score is None:
            self.score = self._compile(played, reward)
            began += self.compile_seconds
        generated, metrics = self.score(reward, played)
        fitness, lengths = native_returns(played)
        # A component that a lane does not have counts nothing there: NaN, left out later.
        with np.errstate(invalid="ignore"):
            point = {
                name: np.asarray(mean.total, np.float64) / np.asarray(mean.count)
                for name, mean in metrics.items()
            }
        point["fitness"] = np.asarray(fitness, np.float64).mean(-1)
        point["length"] = np.asarray(lengths, np.float64).mean(-1)
        point["generated"] = np.asarray(generated, np.float64)
        self.seconds += time.perf_counter() - began
        return point

    def _compile(self, played: Trajectory, reward: PyTree) -> Any:
        """The program that scores an evaluation by the candidates' rewards."""
        began = time.perf_counter()

        def score(state: PyTree, played: Trajectory) -> Any:
            _, annotated, metrics = self.reward.annotate(state, played)
            return annotated.reward.sum(-2).mean(-1), metrics

        program = compiled(jax.jit(score).lower(reward, played), "once")
        self.compile_seconds = time.perf_counter() - began
        return program

    def curves(self) -> tuple[Curves, ...]:
        """The curves of every candidate."""
        count, seeds = self.trainer.num_candidates, self.trainer.num_seeds
        points = [pending.result() for pending in self.pending]
        whole = {name: np.stack([p[name] for p in points]) for name in points[0]}
        cut = {n: x.reshape(len(points), count, seeds) for n, x in whole.items()}
        return tuple(self._curves_of(k, cut) for k in range(count))

    def _curves_of(self, k: int, cut: dict[str, np.ndarray]) -> Curves:
        mine = {name: values[:, k] for name, values in cut.items()}
        components = {
            name.removeprefix(COMPONENT): values
            for name, values in mine.items()
            if name.startswith(COMPONENT) and name != TOTAL and not np.isnan(values).all()
        }
        steps = tuple(self.steps)
        return Curves(steps, mine["fitness"], mine["generated"], mine["length"], components)


def candidate_policies(policies: PolicyState, candidate: int, num_seeds: int) -> PolicyState:
    """The policies `[S]` of one candidate of `K·S` lanes."""
    rows = slice(candidate * num_seeds, (candidate + 1) * num_seeds)
    return jax.tree.map(lambda x: x[rows], policies)


def joined(policies: Sequence[PolicyState]) -> PolicyState:
    """Policies of several candidates, one after another along the leading axis."""
    return jax.tree.map(lambda *x: jnp.concatenate(x), *policies)
