"""Playing whole episodes to see how good a policy is.

Every lane plays exactly one episode, to its end. Counting the first episodes to finish among
lanes that restart would favour short ones: on CartPole that is a favour to bad policies, on
MountainCar to good ones. The reward is the environment's own, whatever was learned from.

The same `seed` gives the same start states and the same randomness to every policy and at every
moment of a run, so that two evaluations differ by their policies alone.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import spaces
from jaxrl.environment import check_env, env_name, episode_limit
from jaxrl.errors import SpaceError, check_range
from jaxrl.records import EvalSummary
from jaxrl.restarts import any_lane, select_lanes
from jaxrl.types import ActFn, Algorithm, Array, EnvParams, EnvState, Key, PyTree
from jaxrl.vector import reset_batch, step_batch


class Episodes(NamedTuple):
    """One whole episode per lane, `[E]`: undiscounted return, steps, and whether it ended."""

    returns: Array
    lengths: Array
    finished: Array


def evaluation_key(seed: int) -> Key:
    """The key of an evaluation with that seed: of a stream that no training run draws from.

    `jax.random.key(seed)` itself is where training with the same seed starts.
    """
    return jax.random.fold_in(jax.random.key(seed), 0xE7A1)


def play_to_end(
    env: Any,
    act: ActFn,
    state: PyTree,
    env_params: EnvParams,
    key: Key,
    *,
    num_episodes: int,
    max_steps: int,
    greedy: bool = True,
) -> tuple[Episodes, EnvState]:
    """Plays one episode in each of `num_episodes` lanes. Pure: `jit` and `vmap` it at will.

    Args:
        env: the environment.
        act: an algorithm's `act`.
        state: the train state or policy state of one seed.
        env_params: the environment's parameters.
        key: start states and randomness.
        num_episodes: `E`.
        max_steps: where to give up on lanes that have not ended; they come back with
            `finished` False and the return they had.
        greedy: play the policy's mode instead of sampling.

    Returns:
        The episodes `[E]`, and the environment states that they ended in.
    """
    key, key_reset = jax.random.split(key)
    obs, env_state = reset_batch(env, key_reset, env_params, num_episodes)

    def unfinished(carry: Any) -> Array:
        step, _, _, _, episodes = carry
        return (step < max_steps) & any_lane(~episodes.finished)

    def step(carry: Any) -> Any:
        step, key, obs, env_state, episodes = carry
        key, key_act, key_step = jax.random.split(key, 3)
        action = act(state, obs, key_act, greedy=greedy)
        next_obs, next_state, reward, terminated, truncated = step_batch(
            env, key_step, env_state, action, env_params
        )
        running = ~episodes.finished
        episodes = Episodes(
            returns=episodes.returns + jnp.where(running, reward, 0.0),
            lengths=episodes.lengths + running,
            finished=episodes.finished | terminated | truncated,
        )
        # A lane that has ended keeps its last state: what lies beyond may not be defined.
        obs, env_state = select_lanes(running, (next_obs, next_state), (obs, env_state))
        return step + 1, key, obs, env_state, episodes

    episodes = Episodes(
        returns=jnp.zeros(num_episodes, jnp.float32),
        lengths=jnp.zeros(num_episodes, jnp.int32),
        finished=jnp.zeros(num_episodes, bool),
    )
    carry = (jnp.int32(0), key, obs, env_state, episodes)
    *_, env_state, episodes = jax.lax.while_loop(unfinished, step, carry)
    return episodes, env_state


def play_episodes(*args: Any, **settings: Any) -> Episodes:
    """The episodes of `play_to_end`, which says what is to be given, without their last states."""
    return play_to_end(*args, **settings)[0]


def step_keys(key: Key, max_steps: int) -> tuple[Key, Key]:
    """What `play_to_end` draws from its key: that of the starts, and those of the steps, `[T]`.

    For those who play the same episodes on the host, and step their lanes at different moments.
    """
    key, key_reset = jax.random.split(key)

    def next_step(key: Key, _: None) -> tuple[Key, Key]:
        key, _, key_step = jax.random.split(key, 3)
        return key, key_step

    return key_reset, jax.lax.scan(next_step, key, None, max_steps)[1]


def evaluate(
    algorithm: Algorithm | Any,
    states: PyTree,
    env_params: EnvParams | None = None,
    *,
    num_episodes: int = 100,
    greedy: bool = True,
    seed: int = 0,
    max_steps: int | None = None,
) -> EvalSummary:
    """Evaluates all seeds of a run in one compiled program.

    Args:
        algorithm: whose `act` is played, in `algorithm.env`; or a policy on the host, with a
            `play` of its own, such as `jaxrl.agents.vlm_agent` gives.
        states: train or policy states with a leading `[S]`; None for a policy on the host.
        env_params: default the environment's own.
        num_episodes: episodes per seed.
        greedy: play the policy's mode instead of sampling.
        seed: start states and randomness; the same for every seed of the run.
        max_steps: default the environment's time limit.

    Raises:
        ConfigError: no episodes, or an environment without a time limit and no `max_steps`.
        EnvironmentContractError: parameters that are not the environment's.
    """
    check_range("num_episodes", num_episodes, 1)
    env = algorithm.env
    check_env(env, env_params)
    env_params = env.default_params if env_params is None else env_params
    limit = episode_limit(env, env_params, max_steps, "max_steps")
    if hasattr(algorithm, "play"):
        played = algorithm.play(
            env_params, evaluation_key(seed), num_episodes=num_episodes, max_steps=limit
        )
        return summarize(Episodes(*(x[None] for x in played.episodes)), greedy)

    play = partial(
        play_episodes,
        env,
        algorithm.act,
        num_episodes=num_episodes,
        max_steps=limit,
        greedy=greedy,
    )
    play_all = jax.jit(jax.vmap(play, (0, None, None)))
    return summarize(play_all(states, env_params, evaluation_key(seed)), greedy)


def summarize(episodes: Episodes, greedy: bool) -> EvalSummary:
    """Episodes `[S, E]` on the host."""
    return EvalSummary(
        np.asarray(episodes.returns),
        np.asarray(episodes.lengths),
        np.asarray(episodes.finished),
        greedy,
    )


def moved(algorithm: Algorithm, env: Any) -> Algorithm:
    """The algorithm, to be evaluated in another environment than the one it learned in.

    Raises:
        SpaceError: observations or actions of another shape or kind.
    """
    for kind, spaces_of in (("observations", "observation_space"), ("actions", "action_space")):
        made_for, found = (
            getattr(world, spaces_of)(world.default_params) for world in (algorithm.env, env)
        )
        if spaces.describe(made_for) != spaces.describe(found):
            raise SpaceError(
                f"the policy was trained on {env_name(algorithm.env)}, whose {kind} are "
                f"{spaces.describe(made_for)}; those of {env_name(env)} are "
                f"{spaces.describe(found)}: evaluate it in an environment with the same."
            )
    return algorithm._replace(env=env)
