"""A contestant that steps bare environments under random actions: ours, gymnax's or Gymnasium's.

    python benchmarks/stepping.py BY ENV LANES

Used by `environments.py`, with `turns.py`. Lanes begin at random ages and go on from one call to
the next, so that episodes end as they do in the midst of training: lanes that all begin at once
would end at once, or not at all in as few steps as are timed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from turns import Contest, serve

import jaxrl
from jaxrl import spaces
from jaxrl.devices import over_seeds, seed_mesh
from jaxrl.vector import rollout, vectorize

STEPS = 2**16
"""Steps of all lanes together that one call takes, within the bounds below."""
FEWEST_STEPS, MOST_STEPS = 32, 1024
"""Bounds on how many of them a lane takes."""
HOST_STEPS = 2**12
"""Steps of all lanes that a call takes of a loop in Python."""


def steps_of(size: int, total: int = STEPS) -> int:
    """Steps that each of so many lanes takes in one call."""
    return max(FEWEST_STEPS, min(MOST_STEPS, total // size))


def ours(name: str, size: int, shares: int = 1, reset: Any = "fresh", **settings: Any) -> Contest:
    """Ours, its lanes in so many shares, which go to as many devices."""
    env, params = jaxrl.make(name, **settings)
    lanes = size // shares
    venv = vectorize(env, lanes, reset=reset)
    draw_actions = random_actions(env.action_space(params), lanes)

    def start(key: jax.Array) -> Any:
        key_reset, key_age = jax.random.split(key)
        state = venv.reset(key_reset, params)
        return state._replace(env=at_random_ages(state.env, params, key_age))

    def play(state: Any, key: jax.Array) -> Any:
        act = lambda obs, action: (action, ())  # noqa: E731
        state, seen = rollout(venv, params, state, draw_actions, act, key, steps_of(size))
        # Observations must be made, but need not be kept.
        return state, seen.reward.sum(), (seen.terminated | seen.truncated).mean()

    return _on_device(start, play, size, shares)


def gymnax(name: str, size: int, shares: int = 1, actions: str = "sampled") -> Contest:
    """Those of gymnax, stepped as its users have it: a `vmap` of its `step` in a `scan`.

    Args:
        name: the environment.
        size: number of lanes.
        shares: how many devices they go to.
        actions: "sampled" by its `action_space(params).sample`, a key a lane and step, as its users
            have a random policy; or drawn as "ours" are. Actions are no part of an environment, and
            those keys are a third of the time that its CartPole takes.
    """
    import gymnax  # makes jax's devices, which must not be before `use_cores`

    env, params = gymnax.make(name)
    lanes = size // shares
    draw_actions = random_actions(env.action_space(params), lanes)
    sample = jax.vmap(env.action_space(params).sample)

    def start(key: jax.Array) -> Any:
        key_reset, key_age = jax.random.split(key)
        obs, state = jax.vmap(env.reset, (0, None))(jax.random.split(key_reset, lanes), params)
        return obs, at_random_ages(state, params, key_age)

    def step(carry: Any, actions: jax.Array | None) -> Any:
        key, _, state = carry
        key, key_action, key_step = jax.random.split(key, 3)
        if actions is None:
            actions = sample(jax.random.split(key_action, lanes))
        obs, state, reward, terminated, truncated, _ = jax.vmap(env.step, (0, 0, 0, None))(
            jax.random.split(key_step, lanes), state, actions, params
        )
        # The observations are carried, as a policy would need them: else XLA makes none.
        return (key, obs, state), (reward, terminated | truncated)

    def play(state: Any, key: jax.Array) -> Any:
        num_steps = steps_of(size)
        key, key_actions = jax.random.split(key)
        keys = jax.random.split(key_actions, num_steps)
        drawn = jax.vmap(draw_actions)(keys) if actions == "ours" else None
        (_, *state), (rewards, ended) = jax.lax.scan(step, (key, *state), drawn, num_steps)
        return tuple(state), rewards.sum(), ended.mean()

    return _on_device(start, play, size, shares)


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


def _on_device(start: Any, play: Any, size: int, shares: int) -> Contest:
    """Calls of `play(state, key) -> (state, reward, ends a step)`, from `start(key)` on."""
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

    def about() -> dict[str, Any]:
        return {"devices": shares, "ends_per_step": float(jnp.stack(ends).mean())}

    return Contest(call, size * steps_of(size), about)


def on_all_devices(contestant: Callable[..., Contest], name: str, size: int) -> Contest:
    """Lanes shared out among the devices that share them evenly; called before jax is used."""
    jaxrl.use_cores()
    mesh = seed_mesh(size)
    return contestant(name, size, shares=mesh.size if mesh else 1)


def gymnasium(name: str, size: int) -> Contest:
    """Gymnasium's, by its own vector environment if it has one, else by a loop in Python."""
    import gymnasium

    mode = "vector_entry_point" if gymnasium.spec(name).vector_entry_point else "sync"
    envs = gymnasium.make_vec(name, size, mode)
    envs.reset(seed=0)
    num_steps = max(4, HOST_STEPS // size) if mode == "sync" else steps_of(size)
    envs.action_space.seed(0)
    actions = [envs.action_space.sample() for _ in range(num_steps)]

    def call() -> None:
        for action in actions:
            envs.step(action)

    return Contest(call, size * num_steps, lambda: {"mode": mode})


CONTESTANTS: dict[str, Callable[[str, int], Contest]] = {
    "jaxrl": ours,
    "jaxrl, all devices": partial(on_all_devices, ours),
    "gymnax": gymnax,
    "gymnax, our actions": partial(gymnax, actions="ours"),
    "gymnax, our actions, all devices": partial(on_all_devices, partial(gymnax, actions="ours")),
    "gymnasium": gymnasium,
    "jaxrl, pooled": partial(ours, reset="pooled"),
    "jaxrl, fast solver": partial(ours, solver="fast"),
}

if __name__ == "__main__":
    contestant, environment, lanes = sys.argv[1:]
    serve(lambda: CONTESTANTS[contestant](environment, int(lanes)))
