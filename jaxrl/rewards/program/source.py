"""Reward programs as reward sources: one for all seeds, or one for each share of them.

A step's reward is the program's, of the described quantities of the states before and after it.
Both are kept by `collect` (`needs="every_step"`); what a program does not read the compiler drops.
Several programs train side by side in one compiled update: the seed axis is cut into as many slices
as there are programs, each evaluated on its own slice alone. A `switch` under `vmap` would evaluate
every program on every seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.environment import env_name, supports_describe
from jaxrl.errors import ConfigError
from jaxrl.rewards.program.compiled import RewardProgram
from jaxrl.rewards.program.interpret import TOTAL
from jaxrl.rewards.program.schema import schema_of
from jaxrl.types import (
    Array,
    EnvParams,
    Key,
    Mean,
    Metrics,
    Recorded,
    RewardSource,
    Trajectory,
)


def program(env: Any, program: RewardProgram, params: EnvParams | None = None) -> RewardSource:
    """The reward that a program gives, in place of the environment's own.

    Metrics are `reward/total` and `reward/NAME` for each component, means over steps.

    Args:
        env: the environment that is trained in.
        program: compiled for its schema.
        params: its parameters, which `describe` reads; default `env.default_params`.

    Raises:
        ConfigError: an environment without `describe`, or with other quantities than the program's.
    """
    source = programs(env, [program], params=params)
    return source._replace(name=f"program:{program.id}")


def programs(
    env: Any,
    programs: Sequence[RewardProgram],
    seeds_per_program: int | None = None,
    params: EnvParams | None = None,
) -> RewardSource:
    """The rewards of `K` programs, each for its own slice of the seeds.

    Seeds `k·S … (k+1)·S - 1` get the reward of program `k`, for `S` seeds a program. A component
    that another program has counts no sample in a seed's metrics, and reads as NaN.

    Args:
        env: the environment that is trained in.
        programs: compiled for its schema.
        seeds_per_program: `S`; default as many as there are seeds for each.
        params: its parameters, which `describe` reads; default `env.default_params`.

    Raises:
        ConfigError: no program, an environment without `describe` or with other quantities than the
            programs'; and, when an update is traced, seeds that are not `K·S`.
    """
    if not programs:
        raise ConfigError("no reward program: give at least one.")
    params = env.default_params if params is None else params
    for one in programs:
        check_fits(env, one, params)
    describe = _describing(env, params)

    def annotate(state: tuple[()], trajectory: Trajectory) -> tuple[tuple[()], Trajectory, Metrics]:
        num_seeds = trajectory.reward.shape[0]
        each = seeds_per_program or num_seeds // len(programs)
        if each * len(programs) != num_seeds:
            share = f"{each} each" if seeds_per_program else "the same number each"
            raise ConfigError(
                f"{num_seeds} seeds for {len(programs)} reward programs, {share}: train with "
                f"seeds={max(each, 1) * len(programs)}."
            )
        given = [
            _rewards(one, describe, _slice(trajectory, k * each, each))
            for k, one in enumerate(programs)
        ]
        totals = jnp.concatenate([total for total, _ in given])
        return state, trajectory._replace(reward=totals), _merged([m for _, m in given], each)

    name = f"programs:{','.join(one.id[:8] for one in programs)}"
    return RewardSource(name=name, init=_nothing_to_keep, annotate=annotate, needs="every_step")


def check_fits(env: Any, program: RewardProgram, params: EnvParams) -> None:
    """Raises `ConfigError` unless the environment has what the program reads."""
    there = {quantity.name: quantity for quantity in schema_of(env, params).quantities}
    for quantity in program.schema.quantities:
        if quantity.name in program.reads and (
            quantity.name not in there or there[quantity.name].shape != quantity.shape
        ):
            raise ConfigError(
                f"the reward program {program.id}, written for {program.schema.env}, reads "
                f"{quantity.name}, which {env_name(env)} does not have: compile its text for "
                "schema_of(env)."
            )


def _describing(env: Any, params: EnvParams) -> Callable[[Any], dict[str, Array]]:
    assert supports_describe(env)
    return lambda state: env.describe(state, params)


def _slice(trajectory: Trajectory, start: int, size: int) -> Trajectory:
    """The trajectories of some seeds, without what no reward reads."""
    kept = (trajectory.action, trajectory.record, trajectory.valid)
    action, record, valid = jax.tree.map(lambda x: x[start : start + size], kept)
    return trajectory._replace(action=action, record=record, valid=valid)


def _rewards(
    program: RewardProgram, describe: Callable[[Any], dict[str, Array]], trajectory: Trajectory
) -> tuple[Array, Metrics]:
    """The rewards `[S, T, B]` of a program, and the means of its components `[S]`."""
    record: Recorded = trajectory.record

    def step(previous: Any, action: Any, state: Any) -> tuple[Array, dict[str, Array]]:
        return program(describe(previous), action, describe(state))

    every = jax.vmap(jax.vmap(jax.vmap(step)))
    total, components = every(record.previous, trajectory.action, record.state)
    valid = jnp.ones(total.shape, bool) if trajectory.valid is None else trajectory.valid
    total = jnp.where(valid, total, 0.0)
    count = valid.sum((1, 2), dtype=jnp.float32)
    return total, {
        f"reward/{name}": Mean(jnp.where(valid, values, 0.0).sum((1, 2)), count)
        for name, values in {TOTAL: total, **components}.items()
    }


def _merged(metrics: Sequence[Metrics], each: int) -> Metrics:
    """The metrics of all slices: of a component that a slice does not have, no sample."""
    none = Mean(jnp.zeros(each), jnp.zeros(each))
    names = dict.fromkeys(name for one in metrics for name in one)
    return {
        name: jax.tree.map(lambda *x: jnp.concatenate(x), *(m.get(name, none) for m in metrics))
        for name in names
    }


def _nothing_to_keep(key: Key) -> tuple[()]:
    del key
    return ()
