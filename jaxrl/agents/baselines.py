"""What an agent is compared with, on the same episodes: chance, doing nothing, rules, training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import spaces
from jaxrl.agents.lockstep import Played
from jaxrl.agents.worlds import Ending, World
from jaxrl.environment import supports_describe
from jaxrl.evaluation import Episodes, evaluation_key, play_to_end
from jaxrl.types import Algorithm, EnvParams, Key, PyTree


class Scores(NamedTuple):
    """What one player made of the episodes.

    Attributes:
        name: the player.
        returns, lengths: of each episode, `[E]`.
        endings: how each ended.
    """

    name: str
    returns: np.ndarray
    lengths: np.ndarray
    endings: list[Ending]


class _Seen(NamedTuple):
    """What a baseline may look at: the observation, and the described quantities."""

    obs: PyTree
    quantities: Mapping[str, Any]


class _Described:
    """An environment whose observations are `_Seen`."""

    def __init__(self, env: Any, world: World) -> None:
        self.env, self.world = env, world

    def describe(self, state: Any, params: EnvParams) -> dict[str, Any]:
        """All that is known of a state in named quantities."""
        if not supports_describe(self.env):
            return {}
        measure = self.world.measure
        extra = {} if measure is None else measure(state, params)
        return {**self.env.describe(state, params), **extra}

    def reset_batch(self, key: Key, params: EnvParams, num_envs: int) -> tuple[Any, Any]:
        from jaxrl.vector import reset_batch

        obs, state = reset_batch(self.env, key, params, num_envs)
        return _Seen(obs, jax.vmap(lambda s: self.describe(s, params))(state)), state

    def step_env(self, key: Key, state: Any, action: Any, params: EnvParams) -> tuple[Any, ...]:
        obs, state, reward, terminated, info = self.env.step_env(key, state, action, params)
        return _Seen(obs, self.describe(state, params)), state, reward, terminated, info

    def is_truncated(self, state: Any, params: EnvParams) -> Any:
        return self.env.is_truncated(state, params)


def baselines(
    env: Any,
    env_params: EnvParams,
    world: World,
    *,
    num_episodes: int,
    max_steps: int,
    seed: int,
    trained: tuple[str, Algorithm, PyTree] | None = None,
) -> list[Scores]:
    """Plays random, idle and, where there are, the heuristic and a trained policy.

    Args:
        env: the environment.
        env_params: its parameters.
        world: its idle action and its heuristic.
        num_episodes: `E`.
        max_steps: where to give up on an episode.
        seed: the same starts and randomness as of `evaluate` with it.
        trained: `(name, algorithm, policy)` of one seed.
    """
    space = env.action_space(env_params)
    players: dict[str, tuple[Callable[..., Any], PyTree]] = {
        "random": (_random(space), None),
        f"always {_idle_name(world)}": (_always(world), None),
    }
    if world.heuristic is not None:
        heuristic = world.heuristic
        players["heuristic"] = (lambda _, seen, key, greedy: heuristic(seen.quantities), None)
    if trained is not None:
        name, algorithm, policy = trained

        def act(policy: PyTree, seen: _Seen, key: Key, greedy: bool) -> Any:
            return algorithm.act(policy, seen.obs, key, greedy=greedy)

        players[name] = (act, policy)
    described = _Described(env, world)

    def play(act: Callable[..., Any], policy: PyTree, key: Key) -> tuple[Episodes, Any, Any]:
        episodes, states = play_to_end(
            described,
            act,
            policy,
            env_params,
            key,
            num_episodes=num_episodes,
            max_steps=max_steps,
        )
        truncated = jax.vmap(lambda s: env.is_truncated(s, env_params))(states)
        return episodes, truncated, jax.vmap(lambda s: described.describe(s, env_params))(states)

    found = []
    for name, (act, policy) in players.items():
        played = jax.jit(play, static_argnums=0)(act, policy, evaluation_key(seed))
        episodes, truncated, last = jax.device_get(played)
        # What ended in the very step of the time limit counts as cut off.
        terminated = episodes.finished & ~truncated
        found.append(scores(name, episodes, terminated, last))
    return found


def scores(
    name: str, episodes: Episodes, terminated: np.ndarray, last: Mapping[str, np.ndarray]
) -> Scores:
    """Episodes `[E]` and the quantities that they ended with."""
    endings = [
        Ending(
            {q: x[i].item() for q, x in last.items() if np.ndim(x) == 1},
            float(episodes.returns[i]),
            int(episodes.lengths[i]),
            bool(terminated[i]),
        )
        for i in range(len(episodes.returns))
    ]
    return Scores(name, np.asarray(episodes.returns), np.asarray(episodes.lengths), endings)


def scores_of(name: str, played: Played) -> Scores:
    """The scores of an agent."""
    return scores(name, played.episodes, played.terminated, played.last)


def _idle_name(world: World) -> str:
    return world.idle if isinstance(world.idle, str) else world.actions.say(world.idle)


def _always(world: World) -> Callable[..., Any]:
    if isinstance(world.idle, str):
        action: Any = jnp.int32(world.actions.index(world.idle))
    else:
        action = jnp.array(world.idle, jnp.float32)

    def act(policy: PyTree, seen: _Seen, key: Key, greedy: bool) -> Any:
        return jnp.broadcast_to(action, (_lanes(seen), *action.shape))

    return act


def _random(space: Any) -> Callable[..., Any]:
    def act(policy: PyTree, seen: _Seen, key: Key, greedy: bool) -> Any:
        lanes = _lanes(seen)
        if spaces.is_discrete(space):
            return jax.random.randint(key, (lanes,), 0, spaces.num_actions(space))
        low, high = spaces.bounds(space)
        return jax.random.uniform(key, (lanes, *low.shape), minval=low, maxval=high)

    return act


def _lanes(seen: _Seen) -> int:
    return jax.tree.leaves(seen.obs)[0].shape[0]
