"""Steps per second of bare environments under random actions: ours, gymnax's and Gymnasium's.

Used by `environments.py`. Lanes begin at random ages and go on from one measurement to the next, so
that episodes end as they do in the midst of training: lanes that all begin at once would end at
once, or not at all in as few steps as are timed.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import jaxrl
from jaxrl import spaces
from jaxrl.devices import over_seeds, seed_mesh
from jaxrl.vector import rollout, vectorize

SHORTEST, LONGEST = 0.1, 3.0
"""Seconds that a round takes at least, and after which no further one begins."""
STEPS = 2**16
"""Steps of all lanes together that one measurement takes, within the bounds below."""
FEWEST_STEPS, MOST_STEPS = 32, 1024
"""Bounds on how many of them a lane takes."""
HOST_STEPS = 2**12
HOST_LARGEST = 1024
"""Largest number of lanes that a loop in Python is asked to step."""

Measured = dict[str, Any]


def rates(play: Callable[[], Any], count: int, rounds: int) -> Measured:
    """Times a call that does `count` things; the first one is not counted.

    A round repeats what is short, since a few milliseconds say more of the machine's other work.
    What takes long has fewer rounds, so that a run stays a matter of minutes.
    """
    play()
    calls = math.ceil(SHORTEST / seconds_of(play, 1))
    seconds: list[float] = []
    while len(seconds) < rounds and sum(seconds) < LONGEST:
        seconds.append(seconds_of(play, calls))
    each = [calls * count / s for s in seconds]
    return {"rate": statistics.median(each), "rates": each}


def seconds_of(play: Callable[[], Any], calls: int) -> float:
    """How long so many calls take."""
    began = time.perf_counter()
    for _ in range(calls):
        play()
    return time.perf_counter() - began


def steps_of(size: int, total: int = STEPS) -> int:
    """Steps that each of so many lanes takes in one measurement."""
    return max(FEWEST_STEPS, min(MOST_STEPS, total // size))


def our_steps(
    name: str,
    size: int,
    rounds: int,
    reset: Any = "fresh",
    settings: dict[str, Any] | None = None,
    shares: int = 1,
) -> Measured:
    """The rate of ours, its lanes in so many shares, which go to as many devices."""
    env, params = jaxrl.make(name, **(settings or {}))
    lanes = size // shares
    venv = vectorize(env, lanes, reset=reset)
    draw_actions = random_actions(env.action_space(params), lanes)

    def start(key: jax.Array) -> Any:
        state = venv.reset(key, params)
        return state._replace(env=at_random_ages(state.env, params, key))

    def play(state: Any, key: jax.Array) -> Any:
        act = lambda obs, action: (action, ())  # noqa: E731
        state, seen = rollout(venv, params, state, draw_actions, act, key, steps_of(size))
        # Observations must be made, but need not be kept.
        return state, seen.reward.sum(), (seen.terminated | seen.truncated).mean()

    return {"by": "jaxrl", **_device_rate(start, play, size, rounds, shares)}


def gymnax_steps(name: str, size: int, rounds: int, shares: int = 1) -> Measured | None:
    """The rate of gymnax's own environment, or None where it has none of that name."""
    import gymnax  # makes jax's devices, which must not be before `use_cores`

    if name not in gymnax.registered_envs:
        return None
    env, params = gymnax.make(name)
    lanes = size // shares

    def start(key: jax.Array) -> Any:
        obs, state = jax.vmap(env.reset, (0, None))(jax.random.split(key, lanes), params)
        return obs, at_random_ages(state, params, key)

    def step(carry: Any, _: None) -> Any:
        key, _, state = carry
        key, key_action, key_step = jax.random.split(key, 3)
        actions = jax.vmap(env.action_space(params).sample)(jax.random.split(key_action, lanes))
        obs, state, reward, terminated, truncated, _ = jax.vmap(env.step, (0, 0, 0, None))(
            jax.random.split(key_step, lanes), state, actions, params
        )
        # The observations are carried, as a policy would need them: else XLA makes none.
        return (key, obs, state), (reward, terminated | truncated)

    def play(state: Any, key: jax.Array) -> Any:
        (_, *state), (rewards, ended) = jax.lax.scan(step, (key, *state), None, steps_of(size))
        return tuple(state), rewards.sum(), ended.mean()

    return {"by": "gymnax", **_device_rate(start, play, size, rounds, shares)}


def at_random_ages(state: Any, params: Any, key: jax.Array) -> Any:
    """A batch of states at random times before their limit."""
    ages = jax.random.randint(key, state.time.shape, 0, params.max_steps_in_episode)
    return state.replace(time=jnp.asarray(ages, state.time.dtype))


def random_actions(space: Any, size: int) -> Callable[[jax.Array], jax.Array]:
    """Draws an action for each lane with one key: a key a lane costs more than a cheap step."""
    if spaces.is_discrete(space):
        return lambda key: jax.random.randint(key, (size,), 0, space.n)
    low, high = spaces.bounds(space)
    return lambda key: jax.random.uniform(key, (size, *space.shape), minval=low, maxval=high)


def _device_rate(start: Any, play: Any, size: int, rounds: int, shares: int) -> Measured:
    """The rate of `play(state, key) -> (state, reward, ends a step)`, from `start(key)` on."""
    mesh = seed_mesh(shares)

    def first(data: jax.Array) -> Any:
        return start(jax.random.wrap_key_data(data)), data

    def following(carry: Any) -> Any:
        state, data = carry
        key, key_play = jax.random.split(jax.random.wrap_key_data(data))
        state, *seen = play(state, key_play)
        return (state, jax.random.key_data(key)), seen

    advance = jax.jit(lambda carry: over_seeds(following, carry, mesh=mesh))
    data = jax.random.key_data(jax.random.split(jax.random.key(0), shares))
    carry = jax.jit(lambda data: over_seeds(first, data, mesh=mesh))(data)
    ends = []

    def call() -> None:
        nonlocal carry
        carry, (_, ended) = jax.block_until_ready(advance(carry))
        ends.append(ended)

    measured = rates(call, size * steps_of(size), rounds)
    return {**measured, "ends_per_step": float(jnp.stack(ends[1:]).mean())}


SHARED_OUT = {"jaxrl": our_steps, "gymnax": gymnax_steps}
"""Contestants that are measured with lanes shared out among devices, too."""


def shared_out(by: str, name: str, size: int, rounds: int) -> Measured | None:
    """The rate with lanes shared out among the devices that share them evenly, if there are some.

    To be called before jax is used.
    """
    jaxrl.use_cores()
    mesh = seed_mesh(size)
    measured = mesh and SHARED_OUT[by](name, size, rounds, shares=mesh.size)
    return measured and {**measured, "by": f"{by}, all devices", "devices": mesh.size}


def shared_out_apart(by: str, name: str, size: int, rounds: int) -> Measured | None:
    """`shared_out` in a process of its own."""
    if size == 1:
        return None
    command = [sys.executable, __file__, by, name, str(size), str(rounds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])  # libraries greet on lines before it


def gymnasium_steps(name: str, size: int, rounds: int) -> Measured | None:
    """Gymnasium's rate, or None where it has no such environment or it would take too long."""
    import gymnasium

    spec = gymnasium.registry.get(name)
    if spec is None:
        return None
    mode = "vector_entry_point" if spec.vector_entry_point else "sync"
    if mode == "sync" and size > HOST_LARGEST:
        return None
    try:
        envs = gymnasium.make_vec(name, size, mode)
    except gymnasium.error.DependencyNotInstalled:
        return None
    envs.reset(seed=0)
    num_steps = max(4, HOST_STEPS // size) if mode == "sync" else steps_of(size)
    envs.action_space.seed(0)
    actions = [envs.action_space.sample() for _ in range(num_steps)]

    def play() -> None:
        for action in actions:
            envs.step(action)

    measured = rates(play, size * num_steps, rounds)
    envs.close()
    return {"by": "gymnasium", "mode": mode, **measured}


if __name__ == "__main__":
    contestant, environment, lanes, times = sys.argv[1:]
    print(json.dumps(shared_out(contestant, environment, int(lanes), int(times))))
