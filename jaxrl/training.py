"""Training from the host: chunks of updates, and what happens between them.

A chunk is one call of one compiled program on all seeds, its state donated, so that memory does
not grow with the number of steps. Progress, logs, evaluation, checkpoints and early stop happen
between chunks, on the host; nothing inside a chunk waits for them.

`train` checks what it was asked for and puts a run together. The parts are in `jaxrl.plan` (what is
done when), `jaxrl.programs` (what is compiled), `jaxrl.host_loop` (the loop over chunks) and
`jaxrl.update` (the pure functions that run in a chunk).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import replay, rewards
from jaxrl.environment import check_env, env_arguments, env_name, episode_limit
from jaxrl.errors import ConfigError, unknown_name
from jaxrl.host_loop import HostLoop
from jaxrl.plan import Plan, make_plan
from jaxrl.programs import Compiler, Lane, compile_whole, lane_arguments
from jaxrl.records import Callback, RunInfo, TrainResult
from jaxrl.run.machine import available_memory_bytes
from jaxrl.types import Algorithm, EnvParams, Key, PyTree, RewardSource
from jaxrl.update import Carry, initial_carry

ON_DIVERGENCE = ("raise", "mark")


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
    _check_request(algorithm, env_params, resume, on_divergence)
    env, source = algorithm.env, reward or rewards.environment()
    env_params = _as_arrays(env.default_params if env_params is None else env_params)
    lanes = _seed_lanes(algorithm, seeds) if lanes is None else tuple(lanes)
    plan = make_plan(
        algorithm.steps_per_update,
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
    info = _describe(algorithm, source, plan, lanes, env_params)
    if source.prepare is not None or source.late_by:
        _try_start(algorithm, source, plan, lanes, env_params)
    folder = _open_folder(out, resume, info)
    # The source is first: what it says at the end goes into the result that the folder writes.
    listeners = [heard for heard in (source.listener, folder, *callbacks) if heard is not None]
    # Before compiling: somebody is waiting, and whoever is killed meanwhile can be resumed.
    for listener in listeners:
        listener.on_start(info)
    programs = (compiler or compile_whole)(algorithm, source, plan, lanes, env_params)
    loop = HostLoop(info, plan, programs, listeners, started, on_divergence)
    carry = programs.init(*lane_arguments(lanes, env_params))
    if folder is not None and resume is not None:
        carry = loop.restore(folder, carry)
    return loop.run(carry)


def _check_request(
    algorithm: Algorithm, env_params: EnvParams | None, resume: Any, on_divergence: str
) -> None:
    """Refuses what `train` cannot take, whatever the plan."""
    if not isinstance(algorithm, Algorithm):
        raise ConfigError(
            f"train got a {type(algorithm).__name__}, needed is an algorithm: "
            "build one for the environment first, for example jaxrl.ppo(env)."
        )
    if on_divergence not in ON_DIVERGENCE:
        raise unknown_name("on_divergence", on_divergence, ON_DIVERGENCE)
    if resume is not None and getattr(algorithm.env, "on_host", False):
        raise ConfigError(
            f"resume={str(resume)!r}: a run in {env_name(algorithm.env)} cannot be resumed, "
            "because the environment's state is the host's and is not stored. Train anew, without "
            "resume."
        )
    check_env(algorithm.env, env_params)


def _describe(
    algorithm: Algorithm,
    source: RewardSource,
    plan: Plan,
    lanes: Sequence[Lane],
    env_params: EnvParams,
) -> RunInfo:
    """The run before its first update; raises as `_replay_bytes`."""
    return RunInfo(
        env_name=env_name(algorithm.env),
        env_arguments=env_arguments(algorithm.env),
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
