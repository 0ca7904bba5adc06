"""LunarLander-v3: a lander with a main and two side engines is to come to rest between two flags.

Gymnasium's, to single precision: its terrain, first push, engines with their dispersion, wind,
reward and ends, and under all that the part of Box2D 2.3 that it uses (`world`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_envs import base, spaces
from jaxrl_envs.lunar_lander import engines, picture, start, terrain, words, world
from jaxrl_envs.lunar_lander.engines import Power
from jaxrl_envs.lunar_lander.observation import fuel_cost, observe, shaping
from jaxrl_envs.lunar_lander.solver import SOLVERS, SolverName
from jaxrl_envs.lunar_lander.state import LunarLanderParams, LunarLanderState
from jaxrl_envs.lunar_lander.vectors import Vec2, stack, unstack
from jaxrl_envs.lunar_lander.world import World

MAX_WIND_INDEX = 9999
MAX_FORCE = 1000.0
"""Greatest first push in either direction, N, for one step."""


class LunarLander(base.Environment):
    """LunarLander-v3, and LunarLanderContinuous-v3 where `continuous`.

    Discrete actions are 0 nothing, 1 left engine, 2 main engine, 3 right engine. Continuous ones
    are `[main, side]` in [-1, 1]: the main engine fires above 0, the left one below -0.5 and the
    right one above 0.5 of `side`. Numbers beyond are clamped where they are traced, as Gymnasium
    does to continuous ones, and refused where they are not.
    """

    quantities: ClassVar[dict[str, tuple[str, str]]] = words.QUANTITIES
    evaluated_with: ClassVar[dict[str, str]] = {"solver": "exact"}
    """Whatever it was trained with, a policy is judged in Gymnasium's lander (`jaxrl eval`)."""

    def __init__(self, continuous: bool = False, solver: SolverName = "exact") -> None:
        """An environment.

        Args:
            continuous: whether actions are continuous.
            solver: `exact` follows Box2D iteration by iteration, and is the default because the
                name promises Gymnasium's lander. `fast` costs a fourth or less and is for training;
                it lands a little less softly, so that what is learned in it carries over.

        Raises:
            ValueError: a solver that does not exist, or `continuous` neither True nor False.
        """
        if not isinstance(continuous, bool):
            raise ValueError(f"continuous={continuous!r}: needed is True or False.")
        if solver not in SOLVERS:
            raise ValueError(f"solver={solver!r}: needed is one of {', '.join(SOLVERS)}.")
        self.continuous = continuous
        self.solver = solver

    @property
    def name(self) -> str:
        """The name under which it is registered."""
        return "LunarLanderContinuous-v3" if self.continuous else "LunarLander-v3"

    @property
    def default_params(self) -> LunarLanderParams:
        """Gymnasium's defaults."""
        return LunarLanderParams()

    def step_env(
        self, key: jax.Array, state: LunarLanderState, action: Any, params: LunarLanderParams
    ) -> tuple[jax.Array, LunarLanderState, jax.Array, jax.Array, dict[str, Any]]:
        """One step of 0.02 s.

        Raises:
            ValueError: a concrete action that does not exist.
        """
        dispersion = jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)
        return self.advance(state, action, dispersion, params)

    def advance(
        self, state: LunarLanderState, action: Any, dispersion: jax.Array, params: LunarLanderParams
    ) -> tuple[jax.Array, LunarLanderState, jax.Array, jax.Array, dict[str, Any]]:
        """`step_env` with the engines' two random numbers in [-1, 1) given, `[2]`."""
        power = self._power(action)
        before = state.world
        blows = params.enable_wind & ~before.ground_contact.any()
        wind, torque = engines.wind_forces(state.wind_index, state.torque_index, params)
        forces = world.Forces(
            gravity=params.gravity,
            push=Vec2(jnp.where(blows, wind, 0.0), 0.0),
            torque=jnp.where(blows, torque, 0.0),
        )
        fired = fire_engines(before, power, dispersion)
        after = world.step(fired, state.terrain, forces, SOLVERS[self.solver])
        obs = observe(after)
        potential = shaping(obs)
        reward = potential - state.shaping - fuel_cost(power)
        state = LunarLanderState(
            time=state.time + 1,
            world=after,
            terrain=state.terrain,
            wind_index=state.wind_index + blows,
            torque_index=state.torque_index + blows,
            shaping=potential,
            power=power,
        )
        terminated = self.is_terminated(state, params)
        reward = jnp.where(terminated, -100.0, reward)
        reward = jnp.where(after.awake, reward, 100.0)
        return obs, state, reward, terminated, {}

    def _power(self, action: Any) -> Power:
        """The engines' power; ValueError for a concrete action that does not exist."""
        if self.continuous:
            _refuse_unless(
                lambda given: bool((np.abs(given) <= 1).all()),
                action,
                (2,),
                "[main, side], each in [-1, 1]",
            )
            return engines.continuous_power(jnp.asarray(action, jnp.float32))
        _refuse_unless(
            lambda given: bool(np.isin(given, range(4))),
            action,
            (),
            "0 (nothing), 1 (left engine), 2 (main engine) or 3 (right engine)",
        )
        return engines.discrete_power(jnp.clip(action, 0, 3))

    def reset_env(
        self, key: jax.Array, params: LunarLanderParams
    ) -> tuple[jax.Array, LunarLanderState]:
        """A random ground, a random push at the top of the picture, and one step of it."""
        return self._reset(key, params, ())

    def reset_batch(
        self, key: jax.Array, params: LunarLanderParams, num_envs: int
    ) -> tuple[jax.Array, LunarLanderState]:
        """The same for `num_envs` lanes, of one draw."""
        return self._reset(key, params, (num_envs,))

    def _reset(
        self, key: jax.Array, params: LunarLanderParams, batch: tuple[int, ...]
    ) -> tuple[jax.Array, LunarLanderState]:
        key_ground, key_force, key_wind = jax.random.split(key, 3)
        draws = (*batch, terrain.NUM_DRAWS)
        return self.start(
            jax.random.uniform(key_ground, draws, maxval=terrain.MAX_HEIGHT),
            jax.random.uniform(key_force, (*batch, 2), minval=-MAX_FORCE, maxval=MAX_FORCE),
            jax.random.randint(key_wind, (*batch, 2), -MAX_WIND_INDEX, MAX_WIND_INDEX),
            params,
        )

    def start(
        self, heights: jax.Array, force: jax.Array, wind: jax.Array, params: LunarLanderParams
    ) -> tuple[jax.Array, LunarLanderState]:
        """The start of an episode from its random numbers, with any leading axes.

        Args:
            heights: of the ground before it is smoothed, m, `[..., 12]`.
            force: first push of the hull, N, `[..., 2]`.
            wind: indices of the wind's force and torque, int32 `[..., 2]`.
            params: parameters.
        """
        push, torque = engines.wind_forces(wind[..., 0], wind[..., 1], params)
        blows = jnp.where(params.enable_wind, 1.0, 0.0)
        first = start.after_first_step(
            Vec2(force[..., 0] + blows * push, force[..., 1]), blows * torque, params.gravity
        )
        obs = observe(first)
        counted = jnp.where(params.enable_wind, 1, 0)
        none = jnp.zeros(force.shape[:-1])
        return obs, LunarLanderState(
            time=none.astype(jnp.int32),
            world=first,
            terrain=terrain.smooth(heights),
            wind_index=wind[..., 0] + counted,
            torque_index=wind[..., 1] + counted,
            shaping=shaping(obs),
            power=Power(none, none, none),
        )

    def get_obs(
        self, state: LunarLanderState, params: Any = None, key: jax.Array | None = None
    ) -> jax.Array:
        """Gymnasium's eight numbers, float32; see `observe`."""
        return observe(state.world)

    def is_terminated(self, state: LunarLanderState, params: LunarLanderParams) -> jax.Array:
        """The hull touches the ground, leaves the picture sideways, or all has come to rest."""
        x = observe(state.world)[..., 0]
        return state.world.hull_contact | (jnp.abs(x) >= 1.0) | ~state.world.awake

    def action_space(self, params: LunarLanderParams | None = None) -> spaces.Discrete | spaces.Box:
        """Nothing, left, main, right; or `[main, side]` in ±1."""
        return spaces.Box(-1.0, 1.0, (2,)) if self.continuous else spaces.Discrete(4)

    def observation_space(self, params: LunarLanderParams | None = None) -> spaces.Box:
        """Gymnasium's.

        Like there, a lander leaves it that climbs or spins for hundreds of steps, and one that
        rolls over more than once: its angle is not wrapped.
        """
        high = np.array([2.5, 2.5, 10, 10, 2 * math.pi, 10, 1, 1], np.float32)
        low = -high * np.array([1, 1, 1, 1, 1, 1, 0, 0], np.float32)
        return spaces.Box(low, high, (8,))

    def describe(self, state: LunarLanderState, params: LunarLanderParams) -> dict[str, jax.Array]:
        """The state in words' worth of numbers; units are in `quantities`."""
        return words.describe(state, params)

    def render(
        self,
        state: LunarLanderState,
        params: LunarLanderParams,
        *,
        height: int = 400,
        width: int = 600,
    ) -> jax.Array:
        """Gymnasium's picture of one state, uint8 `[height, width, 3]`.

        Exhaust is a few discs behind the nozzles that fired in the last step, where Gymnasium has
        particles that fly on.

        Raises:
            ValueError: a side of less than 16 pixels.
        """
        return picture.render(
            state.world.poses, state.terrain, state.power, height=height, width=width
        )


def _refuse_unless(
    exists: Callable[[np.ndarray], bool], action: Any, shape: tuple[int, ...], needed: str
) -> None:
    if isinstance(action, jax.core.Tracer):
        return
    given = np.asarray(action)
    if given.dtype.kind not in "biuf" or given.shape != shape or not exists(given):
        raise ValueError(f"action={action} of LunarLander: needed is {needed}.")


def fire_engines(before: World, power: Power, dispersion: jax.Array) -> World:
    """The world with the engines' impulses on its hull."""
    hull = unstack(before.poses)[0]
    motion, *legs = unstack(before.velocities)
    motion = engines.fire(hull, motion, power, dispersion)
    return before.replace(velocities=stack([motion, *legs]))
