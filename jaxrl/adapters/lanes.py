"""The host's side of Gymnasium's environments: many of them, stepped one after another in Python.

Numbers stand for environments, because a compiled program can hold a number and no environment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.errors import JaxrlError


class LaneStep(NamedTuple):
    """What a step of lanes on the host gave, each field with the lanes' leading axes.

    Attributes:
        obs: what is seen next: of a new episode where the last one ended and was to restart.
        next_obs: what the action led to.
        lane: number of the environment.
        time: steps of the episode, this one included.
        reward, terminated, truncated: of this step.
    """

    obs: Any
    next_obs: Any
    lane: Any
    time: Any
    reward: Any
    terminated: Any
    truncated: Any

    @classmethod
    def like(cls, obs: jax.ShapeDtypeStruct) -> LaneStep:
        """Shapes and types of one lane's."""
        kinds = (jnp.int32, jnp.int32, jnp.float32, jnp.bool_, jnp.bool_)
        return cls(obs, obs, *(jax.ShapeDtypeStruct((), kind) for kind in kinds))


class Lanes:
    """The host's side: environments by number, each in the middle of an episode."""

    def __init__(self, make: Callable[[], Any], first: Any, space: Any) -> None:
        """Nothing begun; `first` shows what starts look like, `space` how ours are seen."""
        self._make, self._first, self._space = make, first, space
        self._running: dict[int, tuple[Any, int]] = {}
        self._idle: list[Any] = []
        self._begun = 0

    def look(self, seeds: Any) -> np.ndarray:
        """The observations with which episodes begin, for seeds in any leading axes."""
        seeds = np.asarray(seeds)
        obs = self._nothing(seeds.size)
        for row, seed in enumerate(seeds.ravel().tolist()):
            obs[row] = self._first.reset(seed=seed)[0]
        return obs.reshape(*seeds.shape, *self._space.shape)

    def step(
        self, seed: Any, lane: Any, time: Any, action: Any, limit: Any, restart: Any
    ) -> LaneStep:
        """One step of every lane, in any leading axes; lanes that have ended do nothing."""
        lane, action = np.asarray(lane), np.asarray(action)
        shape, size = lane.shape, lane.size
        seeds, lanes, times, limits, again = (
            np.ravel(np.asarray(x)).tolist() for x in (seed, lane, time, limit, restart)
        )
        going = [number for number in lanes if number in self._running]
        if len(set(going)) < len(going):
            raise JaxrlError(
                "a state of one of Gymnasium's environments was copied: but for a start, each can "
                "be played once."
            )
        actions = action.reshape(size, *action.shape[len(shape) :])
        out = LaneStep(
            obs=self._nothing(size),
            next_obs=self._nothing(size),
            lane=np.array(lanes, np.int32),
            time=np.array(times, np.int32),
            reward=np.zeros(size, np.float32),
            terminated=np.ones(size, bool),
            truncated=np.zeros(size, bool),
        )
        for row in range(size):
            if lanes[row] < 0:
                out.lane[row] = self._begin(seeds[row])
            if int(out.lane[row]) in self._running:
                self._step_one(out, row, actions[row], limits[row], again[row])
        return LaneStep(*(part.reshape(*shape, *part.shape[1:]) for part in out))

    def _nothing(self, size: int) -> np.ndarray:
        return np.zeros((size, *self._space.shape), self._space.dtype)

    def _begin(self, seed: int) -> int:
        """Begins an episode; the number of the environment it is played in."""
        env = self._idle.pop() if self._idle else self._make()
        env.reset(seed=seed)
        number, self._begun = self._begun, self._begun + 1
        self._running[number] = env, 0
        return number

    def _step_one(self, out: LaneStep, row: int, action: Any, limit: int, restart: bool) -> None:
        number = int(out.lane[row])
        env, age = self._running[number]
        if age != out.time[row]:
            raise JaxrlError(
                f"a state {out.time[row]} steps into its episode was played in one of Gymnasium's "
                f"environments that has gone on to step {age}: each state can be played once. For "
                "shorter episodes give make(...) a max_steps_in_episode."
            )
        seen, reward, terminated, truncated, _ = env.step(_in_range(action, env.action_space))
        truncated = bool(truncated) or age + 1 >= limit
        out.obs[row] = out.next_obs[row] = seen
        out.time[row], out.reward[row] = age + 1, reward
        out.terminated[row], out.truncated[row] = terminated, truncated
        if not (terminated or truncated):
            self._running[number] = env, age + 1
        elif restart:
            out.obs[row] = env.reset()[0]
            self._running[number] = env, 0
        else:
            del self._running[number]
            self._idle.append(env)

    def close(self) -> None:
        """Lets Gymnasium release what it holds."""
        for env in (self._first, *self._idle, *(env for env, _ in self._running.values())):
            env.close()


def _in_range(action: np.ndarray, space: Any) -> Any:
    """An action of ours as Gymnasium takes it."""
    if hasattr(space, "n"):
        return int(np.clip(action, 0, space.n - 1) + space.start)
    return np.clip(action, space.low, space.high).astype(space.dtype)
