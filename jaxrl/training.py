"""Training from the host: chunks of updates, and what happens between them.

A chunk is one call of one compiled program on all seeds, its state donated, so that memory does
not grow with the number of steps. Progress, logs, evaluation, checkpoints and early stop happen
between chunks, on the host; nothing inside a chunk waits for them. The pure functions that run in
a chunk are in `jaxrl.update`.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import replay, rewards
from jaxrl.environment import check_env, env_arguments, env_name, episode_limit
from jaxrl.errors import ConfigError, DivergedError, check_range, unknown_name
from jaxrl.evaluation import evaluation_key, play_episodes, summarize
from jaxrl.records import Callback, EvalSummary, LogPoint, RunInfo, TrainResult
from jaxrl.run.machine import available_memory_bytes, peak_memory_bytes
from jaxrl.types import Algorithm, EnvParams, Key, PyTree, RewardSource
from jaxrl.update import NEVER, Carry, ChunkReport, initial_carry, make_update, run_updates

ON_DIVERGENCE = ("raise", "mark")


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
        rest = range(update + 1, self.total_updates + 1)
        return [u for u in rest if any(self.due(u, every) for every in intervals)]


class Programs(NamedTuple):
    """The compiled programs of a run, and what compiling them took.

    Attributes:
        init: `(keys [S], env_params, configs [S]) -> Carry`.
        chunk: `(carry, number of updates) -> (carry, ChunkReport)`; takes the carry's memory.
        evaluate: `(train states, env_params, key) -> Episodes`, or None where nothing evaluates.
        compile_seconds: what making them took.
    """

    init: Callable[..., Carry]
    chunk: Callable[..., tuple[Carry, ChunkReport]]
    evaluate: Callable[..., Any] | None
    compile_seconds: float


def train(
    algorithm: Algorithm,
    env_params: EnvParams | None = None,
    *,
    total_steps: int,
    seeds: int | Sequence[int] = 1,
    reward: RewardSource | None = None,
    log_every: int | None = None,
    eval_every: int | None = None,
    eval_episodes: int = 100,
    eval_greedy: bool = True,
    eval_seed: int = 0,
    max_episode_steps: int | None = None,
    threshold: float | None = None,
    stop_at_threshold: bool = False,
    checkpoint_every: int | None = None,
    callbacks: Sequence[Callback] = (),
    out: str | Path | None = None,
    resume: str | Path | None = None,
    lanes: Sequence[Lane] | None = None,
    on_divergence: Literal["raise", "mark"] = "raise",
    compiler: Compiler | None = None,
) -> TrainResult:
    """Trains all seeds in one compiled program.

    Args:
        algorithm: what to train, e.g. `jaxrl.ppo(env)`.
        env_params: parameters of the environment; default its own.
        total_steps: environment steps per seed, rounded up to whole updates.
        seeds: how many seeds (0, 1, …), or which.
        reward: who decides rewards; default the environment.
        log_every: steps between log points; default a hundredth of the run.
        eval_every: steps between evaluations; default a twentieth of the run; 0 evaluates only
            at the end.
        eval_episodes: whole episodes per seed and evaluation; 0 never evaluates.
        eval_greedy: evaluate the policy's mode instead of sampling from it.
        eval_seed: start states of evaluation, the same at every point and for every seed.
        max_episode_steps: bound of an evaluation episode; default the environment's time limit.
        threshold: return whose first reaching is recorded in `steps_to_threshold`.
        stop_at_threshold: stop once every seed's evaluation has reached the threshold.
        checkpoint_every: steps between checkpoints; default a tenth of the run; 0 keeps only
            the last state.
        callbacks: listeners, called between chunks.
        out: folder to write the run to (see `jaxrl.run.folder`), made if needed.
        resume: run folder to go on from, at its last checkpoint, with the same settings.
        lanes: a seed and a config for each lane, instead of `seeds`; `sweep` makes these.
        on_divergence: what to do about a seed whose numbers stop being finite: `raise`, or `mark`
            it in the result's `diverged` and go on with the others, which never hear of it.
        compiler: makes the run's programs; default `compile_whole`, one program of whole chunks.

    Raises:
        ConfigError: a setting out of range, before anything compiles.
        EnvironmentContractError: parameters that are not the environment's.
        RunFolderError: `resume` is not a run folder, or was started with other settings.
        DivergedError: a loss or gradient that is not finite; the last checkpoint before it stays.
        UnknownNameError: another `on_divergence`.
    """
    started = time.perf_counter()
    if not isinstance(algorithm, Algorithm):
        raise ConfigError(
            f"train got a {type(algorithm).__name__}, needed is an algorithm: "
            "build one for the environment first, for example jaxrl.ppo(env)."
        )
    if on_divergence not in ON_DIVERGENCE:
        raise unknown_name("on_divergence", on_divergence, ON_DIVERGENCE)
    env, source = algorithm.env, reward or rewards.environment()
    if resume is not None and getattr(env, "on_host", False):
        raise ConfigError(
            f"resume={str(resume)!r}: a run in {env_name(env)} cannot be resumed, because the "
            "environment's state is the host's and is not stored. Train anew, without resume."
        )
    check_env(env, env_params)
    env_params = _as_arrays(env.default_params if env_params is None else env_params)
    lanes = _seed_lanes(algorithm, seeds) if lanes is None else tuple(lanes)
    plan = _plan(
        algorithm,
        total_steps,
        log_every=log_every,
        eval_every=eval_every,
        checkpoint_every=checkpoint_every,
        eval_episodes=eval_episodes,
        eval_greedy=eval_greedy,
        eval_seed=eval_seed,
        max_episode_steps=max_episode_steps,
        threshold=threshold,
        stop_at_threshold=stop_at_threshold,
    )
    if eval_episodes:
        episode_limit(env, env_params, max_episode_steps, "max_episode_steps")
    info = RunInfo(
        env_name=env_name(env),
        env_arguments=env_arguments(env),
        replay_bytes=_replay_bytes(algorithm, plan, lanes, env_params),
        algorithm=algorithm,
        env_params=env_params,
        reward_name=source.name,
        seeds=tuple(lane.seed for lane in lanes),
        total_steps=plan.total_updates * algorithm.steps_per_update,
        total_updates=plan.total_updates,
        settings=dataclasses.asdict(plan),
        labels=tuple(lane.label for lane in lanes if lane.label),
    )
    if source.prepare is not None or source.late_by:
        _try_start(algorithm, source, plan, lanes, env_params)
    folder = _open_folder(out, resume, info)
    # The source is first: what it says at the end goes into the result that the folder writes.
    listeners = [heard for heard in (source.listener, folder, *callbacks) if heard is not None]
    # Before compiling: somebody is waiting, and whoever is killed meanwhile can be resumed.
    for listener in listeners:
        listener.on_start(info)
    programs = (compiler or compile_whole)(algorithm, source, plan, lanes, env_params)
    run = _Run(info, plan, programs, listeners, started, on_divergence)
    carry = programs.init(*lane_arguments(lanes, env_params))
    if folder is not None and resume is not None:
        carry = run.restore(folder, carry)
    return run.loop(carry)


class Lane(NamedTuple):
    """One entry of the seed axis: a seed, a config, and what to call it in a sweep."""

    seed: int
    config: Any
    label: dict[str, Any]


Compiler = Callable[[Algorithm, RewardSource, Plan, Sequence[Lane], EnvParams], Programs]
"""Makes the programs of a run. One may keep what several runs have in common."""


class _Run:
    """The host's side of one run: it calls the chunks and tells the listeners."""

    def __init__(
        self,
        info: RunInfo,
        plan: Plan,
        programs: Programs,
        listeners: Sequence[Callback],
        started: float,
        on_divergence: str,
    ) -> None:
        self.info, self.plan, self.programs = info, plan, programs
        self.listeners, self.started = listeners, started
        self.on_divergence = on_divergence
        self.first_bad = np.full(len(info.seeds), NEVER)
        self.history: list[LogPoint] = []
        self.start = 0
        self.steps = np.zeros(len(info.seeds), np.int64)
        self.steps_trained = 0
        self.train_seconds = 0.0
        self.eval_seconds = 0.0

    def restore(self, folder: Any, carry: Carry) -> Carry:
        """The folder's last checkpoint in place of a fresh state."""
        self.start, self.history, state = folder.restore(carry._asdict())
        carry = Carry(**state)
        self.steps = self._steps(carry, self.start)
        self.steps_trained = int(self.steps.sum())
        if self.history:
            self.train_seconds = self.history[-1].timing["time/train_seconds"]
            self.eval_seconds = self.history[-1].timing["time/eval_seconds"]
        return carry

    def loop(self, carry: Carry) -> TrainResult:
        """The run from where it stands to its end."""
        done, stop = self.start, self._is_at_threshold()
        for update in self.plan.stops_after(self.start) if not stop else []:
            carry, report = self._chunk(carry, update - done, done)
            done = update
            point = self._point(carry, report, update)
            self.history.append(point)
            # No `any(generator)`: every listener must hear of the point.
            stop = any([listener.on_log(point) for listener in self.listeners])
            stop |= self._is_at_threshold()
            if stop or self.plan.due(update, self.plan.checkpoint_every):
                for listener in self.listeners:
                    listener.on_checkpoint(update, carry._asdict(), point)
            if stop:
                break
        if self.history and self.history[-1].evaluation is None and self.plan.eval_episodes:
            # Stopped between two evaluations, or killed between the last checkpoint and the
            # result: the outcome is that of the parameters as they are, not of older ones.
            self.history[-1] = dataclasses.replace(
                self.history[-1], evaluation=self._evaluate(carry)
            )
        result = self._result(carry, done, stop and done < self.plan.total_updates)
        for listener in self.listeners:
            listener.on_end(result)
        return result

    def _chunk(self, carry: Carry, length: int, done: int) -> tuple[Carry, ChunkReport]:
        began = time.perf_counter()
        carry, report = jax.block_until_ready(self.programs.chunk(carry, np.int32(length)))
        self.chunk_seconds = time.perf_counter() - began
        steps = self._steps(carry, done + length)
        self.chunk_steps = int((steps - self.steps).sum())
        self.steps = steps
        self.steps_trained += self.chunk_steps
        self.train_seconds += self.chunk_seconds
        self.first_bad = np.where(self.first_bad == NEVER, report.first_bad, self.first_bad)
        if self.on_divergence == "raise" and (self.first_bad != NEVER).any():
            bad = {self.info.seeds[i]: int(u) for i, u in enumerate(self.first_bad) if u != NEVER}
            raise DivergedError(_diverged_text(bad))
        return carry, report

    def _steps(self, carry: Carry, update: int) -> np.ndarray:
        """`[S]` environment steps that each seed has done: counted where updates vary in them."""
        if carry.train.steps is not None:
            return np.asarray(carry.train.steps.done).astype(np.int64)
        return np.full(len(self.info.seeds), update * self.info.algorithm.steps_per_update)

    def _point(self, carry: Carry, report: ChunkReport, update: int) -> LogPoint:
        evaluation = self._evaluate(carry) if self.plan.evaluates(update) else None
        nan = np.full(len(self.info.seeds), np.nan)
        # Counting nothing gives 0/0: NaN is what "no episode ended" reads as.
        with np.errstate(invalid="ignore"):
            metrics = {
                name: np.asarray(mean.total) / np.asarray(mean.count)
                for name, mean in report.metrics.items()
            }
        if carry.train.steps is not None:
            metrics["time/steps"] = self.steps
        metrics["eval/return"] = nan if evaluation is None else evaluation.per_seed
        metrics["eval/length"] = nan if evaluation is None else evaluation.lengths.mean(axis=1)
        timing = {
            # Of no steps there is no speed: whole episodes may have gone past the point already.
            "time/steps_per_second": (self.chunk_steps or np.nan) / self.chunk_seconds,
            "time/train_seconds": self.train_seconds,
            "time/eval_seconds": self.eval_seconds,
            "time/compile_seconds": self.programs.compile_seconds,
        }
        step = update * self.info.algorithm.steps_per_update
        return LogPoint(step, update, metrics, timing, evaluation)

    def _evaluate(self, carry: Carry) -> EvalSummary:
        assert self.programs.evaluate is not None
        began = time.perf_counter()
        key = evaluation_key(self.plan.eval_seed)
        episodes = self.programs.evaluate(carry.train, self.info.env_params, key)
        summary = summarize(episodes, self.plan.eval_greedy)
        self.eval_seconds += time.perf_counter() - began
        return summary

    def _is_at_threshold(self) -> bool:
        return self.plan.stop_at_threshold and None not in self._steps_to_threshold()

    def _steps_to_threshold(self) -> tuple[int | None, ...]:
        """Per seed, the steps at the first evaluation that reached the threshold."""
        reached: list[int | None] = [None] * len(self.info.seeds)
        for point in self.history if self.plan.threshold is not None else []:
            for i, value in enumerate(point.metrics["eval/return"]):
                if reached[i] is None and value >= self.plan.threshold:
                    reached[i] = point.step
        return tuple(reached)

    def _result(self, carry: Carry, done: int, stopped: bool) -> TrainResult:
        evaluations = [p.evaluation for p in self.history if p.evaluation is not None]
        return TrainResult(
            info=self.info,
            history=self.history,
            state=carry.train,
            final=evaluations[-1] if evaluations else None,
            steps_to_threshold=self._steps_to_threshold(),
            stopped_early=stopped,
            train_seconds=self.train_seconds,
            compile_seconds=self.programs.compile_seconds,
            wall_seconds=time.perf_counter() - self.started,
            steps_per_second=(
                self.steps_trained / self.train_seconds if self.train_seconds else 0.0
            ),
            peak_memory_bytes=peak_memory_bytes(),
            diverged=tuple(None if u == NEVER else int(u) for u in self.first_bad),
        )


def _replay_bytes(
    algorithm: Algorithm, plan: Plan, lanes: Sequence[Lane], env_params: EnvParams
) -> int:
    """Bytes of all seeds' replays, which must fit before they are allocated; 0 without one.

    Raises:
        ConfigError: they do not fit; or whatever else `init` refuses of a run of this length.
    """

    def init(key: Key) -> PyTree:
        return algorithm.init(key, env_params, plan.total_updates)

    buffer = getattr(jax.eval_shape(init, jax.random.key(0)), "replay", None)
    if buffer is None:
        return 0
    return replay.check_fits(buffer, len(lanes), available_memory_bytes())


def _try_start(
    algorithm: Algorithm,
    reward: RewardSource,
    plan: Plan,
    lanes: Sequence[Lane],
    env_params: EnvParams,
) -> None:
    """Raises whatever algorithm and reward source refuse of each other, before anything is made."""

    def start(keys: Key) -> Carry:
        return initial_carry(algorithm, reward, keys, env_params, plan.total_updates)

    jax.eval_shape(start, lane_arguments(lanes, env_params)[0])


def compile_whole(
    algorithm: Algorithm,
    reward: RewardSource,
    plan: Plan,
    lanes: Sequence[Lane],
    env_params: EnvParams,
) -> Programs:
    """Traces and compiles everything ahead of the first update, so that it is timed apart.

    A `Compiler`: collecting, annotating and learning are one program, looped on the device.
    """
    began = time.perf_counter()

    def init(keys: Key, env_params: EnvParams, configs: PyTree) -> Carry:
        carry = initial_carry(algorithm, reward, keys, env_params, plan.total_updates)
        return carry._replace(train=carry.train.replace(config=configs))

    def chunk(carry: Carry, length: Any) -> tuple[Carry, ChunkReport]:
        return run_updates(make_update(algorithm, reward), carry, length)

    args = lane_arguments(lanes, env_params)
    init = jax.jit(init)
    carry = jax.eval_shape(init, *args)
    chunk_program = jax.jit(chunk, donate_argnums=0).lower(carry, np.int32(1)).compile()
    evaluate_program = None
    if plan.eval_episodes:
        max_steps = episode_limit(
            algorithm.env, env_params, plan.max_episode_steps, "max_episode_steps"
        )

        def evaluate(state: PyTree, env_params: EnvParams, key: Key) -> Any:
            return play_episodes(
                algorithm.env,
                algorithm.act,
                state,
                env_params,
                key,
                num_episodes=plan.eval_episodes,
                max_steps=max_steps,
                greedy=plan.eval_greedy,
            )

        over_seeds = jax.jit(jax.vmap(evaluate, (0, None, None)))
        evaluate_program = over_seeds.lower(carry.train, env_params, jax.random.key(0)).compile()
    init_program = init.lower(*args).compile()
    return Programs(init_program, chunk_program, evaluate_program, time.perf_counter() - began)


def _plan(algorithm: Algorithm, total_steps: int, **settings: Any) -> Plan:
    """Checks the settings and turns intervals from steps into updates."""
    check_range("total_steps", total_steps, 1)
    check_range("eval_episodes", settings["eval_episodes"], 0)
    per_update = algorithm.steps_per_update
    total = math.ceil(total_steps / per_update)
    for name, share in {"log_every": 100, "eval_every": 20, "checkpoint_every": 10}.items():
        steps = settings[name]
        check_range(name, steps, 0)
        default = math.ceil(total / share)
        settings[name] = default if steps is None else math.ceil(steps / per_update)
    if settings["stop_at_threshold"] and settings["threshold"] is None:
        raise ConfigError("stop_at_threshold needs a threshold: give threshold=..., a return.")
    if settings["threshold"] is not None and settings["eval_episodes"] == 0:
        raise ConfigError("a threshold needs evaluations: give eval_episodes of at least 1.")
    return Plan(total_updates=total, **settings)


def which_seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Seeds that a user meant: `n` is 0 … n-1. Raises `ConfigError` for what are no seeds."""
    if not isinstance(seeds, int | Sequence | range | np.ndarray):
        raise ConfigError(f"seeds={seeds!r}: give how many (a whole number), or a list of them.")
    seeds = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    wrong = [s for s in seeds if not isinstance(s, int | np.integer) or not 0 <= s < 2**32]
    if wrong:
        # jax.random.key keeps 32 bits of its seed: a larger one would be another's run again.
        raise ConfigError(f"seed {wrong[0]!r}: needed is a whole number in [0, 4294967295].")
    if not seeds:
        raise ConfigError("no seeds: give how many (at least 1), or a list of them.")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds {list(seeds)} has repeats: each seed can be run once.")
    return seeds


def _seed_lanes(algorithm: Algorithm, seeds: int | Sequence[int]) -> tuple[Lane, ...]:
    return tuple(Lane(seed, algorithm.config, {}) for seed in which_seeds(seeds))


def lane_arguments(lanes: Sequence[Lane], env_params: EnvParams) -> tuple[Key, EnvParams, PyTree]:
    """What `Programs.init` is called with: keys `[S]`, parameters, and configs, floats `[S]`."""
    keys = jnp.stack([jax.random.key(lane.seed) for lane in lanes])
    configs = [lane.config for lane in lanes]
    return keys, env_params, jax.tree.map(lambda *x: jnp.asarray(x, jnp.float32), *configs)


def _as_arrays(env_params: EnvParams) -> EnvParams:
    """Parameters as arrays of a fixed type: a Python number would adapt to what it meets."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.asarray(x).dtype), env_params)


def _open_folder(out: Any, resume: Any, info: RunInfo) -> Any:
    """The run folder to write, or to go on with; None for a run that leaves nothing."""
    if out is None and resume is None:
        return None
    if out is not None and resume is not None and Path(out) != Path(resume):
        raise ConfigError("out and resume name two folders: a resumed run goes on in its own.")
    from jaxrl.run.folder import RunFolder  # brings orbax, which not every run needs

    return RunFolder.resume(resume, info) if resume is not None else RunFolder(out)


def _diverged_text(bad: Mapping[int, int]) -> str:
    where = ", ".join(f"seed {seed} at update {update}" for seed, update in bad.items())
    return (
        f"a loss, a gradient or a parameter is no longer finite: {where}. Checkpoints made before "
        "are finite. Try a smaller learning_rate, a max_grad_norm, or normalize_obs=True."
    )
