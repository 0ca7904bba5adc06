"""The compiled programs of a run, made before its first update.

`training.train` asks a `Compiler` for them. `compile_whole` is the usual one: whole chunks of
updates, looped on the device. `search.stages` has another, which keeps what many runs have in
common.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxrl.devices import everywhere, over_seeds, seed_mesh, seeded
from jaxrl.environment import episode_limit
from jaxrl.evaluation import play_episodes
from jaxrl.plan import Plan
from jaxrl.types import Algorithm, EnvParams, Key, PyTree, RewardSource
from jaxrl.update import Carry, ChunkReport, initial_carry, make_update, run_updates


class Lane(NamedTuple):
    """One entry of the seed axis: a seed, a config, and what to call it in a sweep."""

    seed: int
    config: Any
    label: dict[str, Any]


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


EFFORT = {"once": 0, "often": 1}
"""LLVM's level on a CPU for programs that run once, or are calls of products and small loops.

At its usual 3 these take twice as long to compile, and are no faster. Elsewhere it pays.
"""

Compiler = Callable[[Algorithm, RewardSource, Plan, Sequence[Lane], EnvParams], Programs]
"""Makes the programs of a run. One may keep what several runs have in common."""


def compile_whole(
    algorithm: Algorithm,
    reward: RewardSource,
    plan: Plan,
    lanes: Sequence[Lane],
    env_params: EnvParams,
) -> Programs:
    """Traces and compiles everything ahead of the first update, so that it is timed apart.

    A `Compiler`: collecting, annotating and learning are one program, looped on the device. Where
    there are several devices, each has its share of the lanes (`jaxrl.devices`).
    """
    began = time.perf_counter()
    args = lane_arguments(lanes, env_params)
    # The state of an environment on the host is not to be cut up; and while a source asks there,
    # other devices would wait in a collective, which XLA ends after a while.
    on_host = getattr(algorithm.env, "on_host", False) or reward.on_host
    mesh = None if on_host else seed_mesh(len(lanes))
    places = Carry(seeded(mesh), everywhere(mesh))

    def init(keys: Key, env_params: EnvParams, configs: PyTree) -> Carry:
        carry = initial_carry(algorithm, reward, keys, env_params, plan.total_updates)
        return carry._replace(train=carry.train.replace(config=configs))

    def chunk(carry: Carry, length: Any) -> tuple[Carry, ChunkReport]:
        return run_updates(make_update(algorithm, reward, mesh), carry, length)

    init = jax.jit(init, out_shardings=places)
    carry = jax.eval_shape(init, *args)
    chunk = jax.jit(
        chunk,
        donate_argnums=0,
        in_shardings=(places, everywhere(mesh)),
        out_shardings=(places, None),
    )
    chunk_program = chunk.lower(carry, np.int32(1)).compile()
    evaluate_program = _compile_evaluation(algorithm, plan, carry.train, env_params, mesh)
    init_program = compiled(init.lower(*args), "once")
    return Programs(init_program, chunk_program, evaluate_program, time.perf_counter() - began)


def compiled(lowered: Any, effort: Literal["once", "often"]) -> Any:
    """A program that was traced, compiled with less effort than usual: see `EFFORT`."""
    if jax.default_backend() != "cpu":
        return lowered.compile()
    return lowered.compile(compiler_options={"xla_backend_optimization_level": EFFORT[effort]})


def _compile_evaluation(
    algorithm: Algorithm, plan: Plan, states: PyTree, env_params: EnvParams, mesh: Mesh | None
) -> Callable[..., Any] | None:
    """`Programs.evaluate`, for train states of these shapes."""
    if not plan.eval_episodes:
        return None
    limit = episode_limit(algorithm.env, env_params, plan.max_episode_steps, "max_episode_steps")

    play = partial(
        play_episodes,
        algorithm.env,
        algorithm.act,
        num_episodes=plan.eval_episodes,
        max_steps=limit,
        greedy=plan.eval_greedy,
    )

    def play_all(states: PyTree, env_params: EnvParams, key: Key) -> Any:
        return over_seeds(play, states, env_params, key, mesh=mesh, shared=2)

    places = (seeded(mesh), everywhere(mesh), everywhere(mesh))
    play_all = jax.jit(play_all, in_shardings=places)
    return play_all.lower(states, env_params, jax.random.key(0)).compile()


def lane_arguments(lanes: Sequence[Lane], env_params: EnvParams) -> tuple[Key, EnvParams, PyTree]:
    """What `Programs.init` is called with: keys `[S]`, parameters, and configs, floats `[S]`."""
    keys = jnp.stack([jax.random.key(lane.seed) for lane in lanes])
    configs = [lane.config for lane in lanes]
    return keys, env_params, jax.tree.map(lambda *x: jnp.asarray(x, jnp.float32), *configs)
