"""Training in stages: collecting and learning compiled once for a whole search, rewards each time.

A chunk of `training.train` is one program, and with another reward it is another program: half a
minute of compiling for seconds of training. Here collecting, annotating and learning are programs
of their own, called from the host in turn. Collecting and learning do not know the reward, so that
they, and the programs that start a run and play its evaluations, are compiled for the first
iteration of a search and kept; only the annotation is compiled anew, in a fraction of a second.

What this gives up is looping on the device: a call from the host takes three dispatches an update,
some hundred microseconds beside updates of tens of milliseconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.devices import over_seeds
from jaxrl.errors import ConfigError
from jaxrl.plan import Plan
from jaxrl.programs import Lane, Programs, compiled, lane_arguments
from jaxrl.types import Algorithm, EnvParams, Metrics, PyTree, RewardSource, Trajectory
from jaxrl.update import NEVER, Carry, ChunkReport, add_update, has_replay, initial_carry


class Stages:
    """A `programs.Compiler` that keeps what does not depend on the reward.

    It serves one algorithm, and as many lanes as the first run has: others are compiled anew.

    Attributes:
        compile_seconds: what compiling took so far, all runs together.
    """

    def __init__(self, algorithm: Algorithm) -> None:
        """`algorithm`: what is trained.

        Raises:
            ConfigError: one whose updates take as many steps as their episodes last.
        """
        self.algorithm = algorithm
        self.compile_seconds = 0.0
        self._kept: dict[Any, tuple[Any, ...]] = {}

    def fresh(self, lanes: Sequence[Lane], env_params: EnvParams) -> PyTree:
        """Untrained train states of as many lanes as a run had before; compiles nothing.

        Raises:
            KeyError: no run had as many.
        """
        init = {key[-1]: kept[0] for key, kept in self._kept.items()}[len(lanes)]
        return init(*lane_arguments(lanes, env_params))

    def __call__(
        self,
        algorithm: Algorithm,
        reward: RewardSource,
        plan: Plan,
        lanes: Sequence[Lane],
        env_params: EnvParams,
    ) -> Programs:
        """The programs of a run with that reward; see `programs.Compiler`."""
        if algorithm is not self.algorithm or plan.eval_episodes:
            raise ConfigError(
                "these stages are of another algorithm, or the run evaluates by itself: make "
                "Stages(algorithm) for the one to train, and pass eval_episodes=0."
            )
        began = time.perf_counter()
        args = lane_arguments(lanes, env_params)
        key = (reward.needs, plan.total_updates, len(lanes))
        if key not in self._kept:
            self._kept[key] = _compile_kept(algorithm, reward.needs, plan.total_updates, args)
        init, collect, learn, rows = self._kept[key]
        reward_state = jax.eval_shape(reward.init, jax.random.key(0))
        annotate = _compile_annotation(reward, reward_state, rows)
        spent = time.perf_counter() - began
        self.compile_seconds += spent

        def start(*args: Any) -> Carry:
            return Carry(init(*args), reward.init(jax.random.fold_in(args[0][0], 0x5EED)))

        return Programs(start, _chunk_of(collect, annotate, learn), None, spent)


def _compile_kept(
    algorithm: Algorithm, needs: Any, total_updates: int, args: tuple[Any, ...]
) -> tuple[Any, ...]:
    """`(init, collect, learn, a trajectory's shapes)`, compiled side by side."""

    def init(keys: Any, env_params: EnvParams, configs: PyTree) -> PyTree:
        nobody = RewardSource("nobody", lambda key: (), lambda s, t: (s, t, {}), "nothing")
        train = initial_carry(algorithm, nobody, keys, env_params, total_updates).train
        return train.replace(config=configs)

    def collect(train: PyTree) -> tuple[PyTree, Trajectory]:
        return over_seeds(lambda s: algorithm.collect(s, needs), train, keep_axis=has_replay(train))

    def learn(
        train: PyTree, rows: Trajectory, report: ChunkReport | None
    ) -> tuple[PyTree, ChunkReport]:
        train, metrics = over_seeds(algorithm.learn, train, rows, keep_axis=has_replay(train))
        if report is None:
            nothing = jax.tree.map(jnp.zeros_like, metrics)
            report = ChunkReport(nothing, jnp.full(len(train.update), NEVER, jnp.int32))
        return train, add_update(report, train, metrics)

    train = jax.eval_shape(init, *args)
    if train.steps is not None:
        raise ConfigError(
            f"{algorithm.name} learns from whole episodes, whose updates take unknown numbers of "
            "steps: a search trains one with updates of a fixed size, such as ppo."
        )
    played, rows = jax.eval_shape(collect, train)
    learned = rows._replace(record=None)
    report = jax.eval_shape(lambda s, t: learn(s, t, None)[1], played, learned)
    lowered = [
        (jax.jit(init).lower(*args), "once"),
        (jax.jit(collect, donate_argnums=0).lower(train), "often"),
        (jax.jit(learn, donate_argnums=(0, 2)).lower(played, learned, report), "often"),
    ]
    with ThreadPoolExecutor(len(lowered)) as pool:
        programs = list(pool.map(lambda pair: compiled(*pair), lowered))
    return *programs[:2], (programs[2], report), rows


def _compile_annotation(reward: RewardSource, state: PyTree, rows: Trajectory) -> Any:
    """`(reward state, trajectory) -> (reward state, rewards, metrics)`."""

    def annotate(state: PyTree, rows: Trajectory) -> tuple[PyTree, jax.Array, Metrics]:
        state, annotated, metrics = reward.annotate(state, rows)
        return state, annotated.reward, metrics

    return compiled(jax.jit(annotate).lower(state, rows), "once")


def _chunk_of(collect: Any, annotate: Any, learning: tuple[Any, Any]) -> Callable[..., Any]:
    learn, like = learning

    def chunk(carry: Carry, length: Any) -> tuple[Carry, ChunkReport]:
        train, reward_state = carry
        report = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
        report = report._replace(first_bad=jnp.full_like(report.first_bad, NEVER))
        told: Metrics = {}
        for _ in range(int(length)):
            train, rows = collect(train)
            reward_state, rewards, metrics = annotate(reward_state, rows)
            told = jax.tree.map(jnp.add, told, metrics) if told else metrics
            # States are not learned from; a source of another kind than a program is not trained
            # in stages, so that the reward is all that it changed.
            train, report = learn(train, rows._replace(reward=rewards, record=None), report)
        return Carry(train, reward_state), report._replace(metrics=report.metrics | told)

    return chunk
