"""Plays the recorded episodes of `tests/data/lunar_lander.npz` again, in our lander."""

from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxrl_envs.lunar_lander import LunarLander, LunarLanderParams, LunarLanderState

RECORDED = np.load(Path(__file__).parent / "data" / "lunar_lander.npz")
LENGTHS = np.diff(RECORDED["offset"])
SHORT = 200
"""The fast tests replay episodes of at most this length."""


class Episode(NamedTuple):
    """One episode: observations `[T, 8]` without the reset's, and rewards `[T]`."""

    obs: np.ndarray
    reward: np.ndarray

    @property
    def outcome(self) -> float:
        """The last reward: -100 for a crash, 100 for coming to rest."""
        return float(self.reward[-1])


def recorded(i: int) -> Episode:
    """Gymnasium's episode i."""
    a, b = RECORDED["offset"][i], RECORDED["offset"][i + 1]
    return Episode(RECORDED["obs"][a + i + 1 : b + i + 1], RECORDED["reward"][a:b])


def chosen(max_length: int, continuous: bool | None = None, wind: bool | None = None) -> list[int]:
    """The episodes of at most that length and of one kind."""
    right = max_length >= LENGTHS
    for name, value in (("continuous", continuous), ("wind", wind)):
        if value is not None:
            right &= RECORDED[name] == value
    return np.flatnonzero(right).tolist()


def _padded(name: str, i: int, num_steps: int) -> np.ndarray:
    a, b = RECORDED["offset"][i], min(RECORDED["offset"][i + 1], RECORDED["offset"][i] + num_steps)
    return np.pad(RECORDED[name][a:b], ((0, num_steps - (b - a)), (0, 0)))


def as_continuous(actions: np.ndarray) -> np.ndarray:
    """Discrete actions `[T]` as `[main, side]` of the same powers, `[T, 2]`."""
    return np.stack([actions == 2, (actions == 3) * 1.0 - (actions == 1)], axis=-1)


@cache
def starts() -> tuple[np.ndarray, LunarLanderState, LunarLanderParams]:
    """All episodes' starts: observations, states and parameters, leading axis 54."""

    @jax.jit
    @jax.vmap
    def start(heights, force, index, wind):
        params = LunarLanderParams(enable_wind=wind)
        return *LunarLander(continuous=True).start(heights, force, index, params), params

    numbers = (RECORDED[name] for name in ("heights", "force", "wind_index", "wind"))
    return jax.tree.map(np.asarray, start(*numbers))


@partial(jax.jit, static_argnames="solver")
def play(
    solver: str,
    state: LunarLanderState,
    params: LunarLanderParams,
    actions: np.ndarray,
    dispersion: np.ndarray,
) -> tuple[LunarLanderState, tuple[jax.Array, jax.Array, jax.Array]]:
    """Continuous actions `[T, B, 2]` in `B` lanes, on past the ends of episodes.

    Returns:
        The last states, and observations, rewards and ends `[T, B, ...]`.
    """
    env = LunarLander(continuous=True, solver=solver)

    def step(state, xs):
        obs, state, reward, terminated, _ = jax.vmap(env.advance)(state, *xs, params)
        return state, (obs, reward, terminated)

    return jax.lax.scan(step, state, (actions, dispersion))


@cache
def replay(solver: str, episodes: tuple[int, ...], num_steps: int) -> dict[int, Episode]:
    """Our episodes from the same random numbers and actions, cut where they end.

    All kinds go through one program: discrete actions as the continuous ones of equal power, and
    calm as wind that does not blow.
    """
    which = np.array(episodes)
    actions = np.stack([_padded("action", i, num_steps) for i in episodes], 1)
    discrete = ~RECORDED["continuous"][which]
    actions[:, discrete] = as_continuous(actions[:, discrete, 0])
    dispersion = np.stack([_padded("dispersion", i, num_steps) for i in episodes], 1)
    _, state, params = jax.tree.map(lambda leaf: leaf[which], starts())
    _, seen = play(solver, state, params, actions, dispersion)
    obs, reward, terminated = map(np.asarray, seen)
    played = {}
    for lane, i in enumerate(episodes):
        ends = np.flatnonzero(terminated[:, lane])
        length = ends[0] + 1 if ends.size else num_steps
        played[i] = Episode(obs[:length, lane], reward[:length, lane])
    return played


def flight_errors(played: dict[int, Episode], step: int) -> np.ndarray:
    """The greatest error of an observation up to a step, of each episode still in flight there."""
    errors = []
    for i, ours in played.items():
        contact = RECORDED["first_contact"][i]
        if LENGTHS[i] >= step and not 0 <= contact <= step:
            errors.append(np.abs(ours.obs[:step] - recorded(i).obs[:step]).max())
    return np.array(errors)


def same_outcomes(played: dict[int, Episode]) -> int:
    """In how many episodes ours ended as Gymnasium's."""
    return sum(
        abs(e.outcome) == 100 and e.outcome == recorded(i).outcome for i, e in played.items()
    )


def return_differences(played: dict[int, Episode]) -> np.ndarray:
    """Absolute differences of the returns."""
    return np.array([abs(e.reward.sum() - recorded(i).reward.sum()) for i, e in played.items()])
