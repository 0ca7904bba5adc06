"""LunarLander-v3: a lander with a main and two side engines is to come to rest between two flags.

Gymnasium's, to single precision: its terrain, first push, engines with their dispersion, wind,
reward and ends, and under all that the part of Box2D 2.3 that it uses (`world`).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxrl_envs import base, spaces
from jaxrl_envs.lunar_lander import engines, picture, start, terrain, world
from jaxrl_envs.lunar_lander.engines import Power
from jaxrl_envs.lunar_lander.geometry import (
    FPS,
    HELIPAD_Y,
    LEG_DOWN,
    WORLD_HEIGHT,
    WORLD_WIDTH,
    hull_origin,
)
from jaxrl_envs.lunar_lander.solver import SOLVERS, SolverName
from jaxrl_envs.lunar_lander.vectors import Vec2, stack, unstack
from jaxrl_envs.lunar_lander.world import World

MAX_WIND_INDEX = 9999


@struct.dataclass
class LunarLanderState(base.EnvState):
    """Everything that a step needs.

    Attributes:
        world: bodies, contacts and joints.
        terrain: heights of the ground at x = 0, 2, …, 20 m, `[11]`.
        wind_index, torque_index: where the wind is in its course, int32.
        shaping: the potential whose change is the reward.
        power: of the engines in the last step.
    """

    world: World
    terrain: jax.Array
    wind_index: jax.Array
    torque_index: jax.Array
    shaping: jax.Array
    power: Power


@struct.dataclass
class LunarLanderParams(base.EnvParams):
    """Gymnasium's arguments, with its ranges.

    Attributes:
        gravity: m/s², in (-12, 0).
        enable_wind: whether there is wind, while no leg touches the ground.
        wind_power: greatest force of the wind, N, in [0, 20].
        turbulence_power: greatest torque of the wind, N m, in [0, 2].
    """

    gravity: float = -10.0
    enable_wind: bool = False
    wind_power: float = 15.0
    turbulence_power: float = 1.5
    max_steps_in_episode: int = 1000

    def __post_init__(self) -> None:
        """Raises ValueError for a number outside Gymnasium's range."""
        for name, low, high, is_open in (
            ("gravity", -12.0, 0.0, True),
            ("wind_power", 0.0, 20.0, False),
            ("turbulence_power", 0.0, 2.0, False),
        ):
            value = getattr(self, name)
            if not isinstance(value, int | float | np.number):
                continue  # traced, or an array on its way through jax: its number is not known
            inside = low < value < high if is_open else low <= value <= high
            if not inside:
                brackets = "()" if is_open else "[]"
                raise ValueError(
                    f"{name}={value} of LunarLander: needed is a number in "
                    f"{brackets[0]}{low:g}, {high:g}{brackets[1]}."
                )


class LunarLander(base.Environment):
    """LunarLander-v3, and LunarLanderContinuous-v3 where `continuous`.

    Discrete actions are 0 nothing, 1 left engine, 2 main engine, 3 right engine. Numbers beyond
    are clamped where they are traced, and refused where they are not. Continuous actions are
    `[main, side]` in [-1, 1], and clipped to it as Gymnasium does: the main engine fires above 0,
    the left one below -0.5 and the right one above 0.5 of `side`.
    """

    quantities: ClassVar[dict[str, tuple[str, str]]] = {
        "x": ("m", "horizontal position; 0 is the middle of the pad, positive is to the right"),
        "y": ("m", "height of the hull above where it is when standing upright on the pad"),
        "x_velocity": ("m/s", "horizontal velocity; positive is to the right"),
        "y_velocity": ("m/s", "vertical velocity; positive is up"),
        "angle": ("rad", "tilt from upright; positive is to the left, counter-clockwise"),
        "angle_degrees": ("deg", "the same tilt in degrees"),
        "angular_velocity": ("rad/s", "how fast the tilt grows"),
        "right_leg_contact": ("bool", "whether the leg on the right of the picture touches ground"),
        "left_leg_contact": ("bool", "whether the leg on the left of the picture touches ground"),
        "height_above_pad": ("m", "height of the hull's middle above the pad"),
        "height_above_ground": ("m", "height of the hull's middle above the ground below it"),
        "distance_to_pad": ("m", "distance from the middle of the pad, across and up"),
        "over_pad": ("bool", "whether the hull is above the pad, between the flags"),
        "main_engine": ("share", "power of the main engine in the last step, 0 or 0.5 to 1"),
        "left_engine": ("share", "power of the left engine, which pushes and turns to the left"),
        "right_engine": ("share", "power of the right engine, which pushes and turns to the right"),
        "fuel_cost": ("reward", "what the engines cost in the last step"),
        "crashed": ("bool", "whether the hull has touched the ground"),
        "at_rest": ("bool", "whether the lander has come to rest"),
        "wind_force": ("N", "force of the wind on the hull in the next step, to the right"),
        "time": ("steps", "steps since the episode began"),
    }

    def __init__(self, continuous: bool = False, solver: SolverName = "exact") -> None:
        """An environment.

        Args:
            continuous: whether actions are continuous.
            solver: `exact` follows Box2D iteration by iteration, and is the default because the
                name promises Gymnasium's lander. `fast` costs a fourth or less and is for training;
                it lands a little less softly, so that what is learned in it carries over.

        Raises:
            ValueError: a solver that does not exist.
        """
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
            ValueError: a concrete discrete action that does not exist.
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
        wind, torque = wind_forces(state.wind_index, state.torque_index, params)
        forces = world.Forces(
            gravity=params.gravity,
            push=Vec2(jnp.where(blows, wind, 0.0), 0.0),
            torque=jnp.where(blows, torque, 0.0),
        )
        fired = fire_engines(before, power, dispersion)
        after = world.step(fired, state.terrain, forces, SOLVERS[self.solver])
        obs = observe(after)
        potential = shaping(obs)
        reward = potential - state.shaping - _fuel_cost(power)
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
        if self.continuous:
            return engines.continuous_power(jnp.asarray(action, jnp.float32))
        if not isinstance(action, jax.core.Tracer):
            given = np.asarray(action)
            if np.any((given < 0) | (given > 3)):
                raise ValueError(
                    f"action={action} of LunarLander: needed is 0 (nothing), 1 (left engine), "
                    "2 (main engine) or 3 (right engine)."
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
        push, torque = wind_forces(wind[..., 0], wind[..., 1], params)
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
        """Gymnasium's; like there, a lander that climbs for hundreds of steps leaves it."""
        high = np.array([2.5, 2.5, 10, 10, 2 * math.pi, 10, 1, 1], np.float32)
        low = -high * np.array([1, 1, 1, 1, 1, 1, 0, 0], np.float32)
        return spaces.Box(low, high, (8,))

    def describe(self, state: LunarLanderState, params: LunarLanderParams) -> dict[str, jax.Array]:
        """The state in words' worth of numbers; units are in `quantities`."""
        after = state.world
        hull, *_ = unstack(after.poses)
        motion, *_ = unstack(after.velocities)
        origin = hull_origin(hull)
        x, pad = origin.x - WORLD_WIDTH / 2, terrain.PAD_HEIGHT
        wind, _ = wind_forces(state.wind_index, state.torque_index, params)
        blows = params.enable_wind & ~after.ground_contact.any()
        return {
            "x": x,
            "y": origin.y - HELIPAD_Y - LEG_DOWN,
            "x_velocity": motion.linear.x,
            "y_velocity": motion.linear.y,
            "angle": hull.angle,
            "angle_degrees": jnp.rad2deg(hull.angle),
            "angular_velocity": motion.angular,
            "right_leg_contact": after.ground_contact[0],
            "left_leg_contact": after.ground_contact[1],
            "height_above_pad": origin.y - pad,
            "height_above_ground": origin.y - terrain.height_at(state.terrain, origin.x),
            "distance_to_pad": jnp.sqrt(x**2 + (origin.y - pad) ** 2),
            "over_pad": jnp.abs(x) <= terrain.SPACING,
            "main_engine": state.power.main,
            "left_engine": jnp.where(state.power.direction < 0, state.power.side, 0.0),
            "right_engine": jnp.where(state.power.direction > 0, state.power.side, 0.0),
            "fuel_cost": _fuel_cost(state.power),
            "crashed": after.hull_contact,
            "at_rest": ~after.awake,
            "wind_force": jnp.where(blows, wind, 0.0),
            "time": state.time,
        }

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


MAX_FORCE = 1000.0
"""Greatest first push in either direction, N, for one step."""


def wind_forces(
    wind_index: jax.Array, torque_index: jax.Array, params: LunarLanderParams
) -> tuple[jax.Array, jax.Array]:
    """Force to the right, N, and torque, N m, of the wind where it blows."""
    return (
        engines.gust(wind_index) * params.wind_power,
        engines.gust(torque_index) * params.turbulence_power,
    )


def fire_engines(before: World, power: Power, dispersion: jax.Array) -> World:
    """The world with the engines' impulses on its hull."""
    hull = unstack(before.poses)[0]
    motion, *legs = unstack(before.velocities)
    motion = engines.fire(hull, motion, power, dispersion)
    return before.replace(velocities=stack([motion, *legs]))


def observe(after: World) -> jax.Array:
    """Gymnasium's observation, float32 `[..., 8]`.

    Position over half the picture's size, from the middle of the pad and the height of a lander
    standing there; velocity in such units times 0.02 × half the size, which is nobody's unit;
    angle in rad; angular velocity in 0.4 rad/s; contact of each leg, the right one first.
    """
    hull = jax.tree.map(lambda x: x[..., 0], after.poses)
    motion = jax.tree.map(lambda x: x[..., 0], after.velocities)
    origin = hull_origin(hull)
    half_width, half_height = WORLD_WIDTH / 2, WORLD_HEIGHT / 2
    return jnp.stack(
        [
            (origin.x - half_width) / half_width,
            (origin.y - (HELIPAD_Y + LEG_DOWN)) / half_height,
            motion.linear.x * half_width / FPS,
            motion.linear.y * half_height / FPS,
            hull.angle,
            20.0 * motion.angular / FPS,
            after.ground_contact[..., 0].astype(jnp.float32),
            after.ground_contact[..., 1].astype(jnp.float32),
        ],
        axis=-1,
    )


def shaping(obs: jax.Array) -> jax.Array:
    """The potential of an observation `[..., 8]`: near, slow, upright and on its legs is good."""
    x, y, vx, vy, angle, _, right, left = jnp.moveaxis(obs, -1, 0)
    far, fast = jnp.sqrt(x * x + y * y), jnp.sqrt(vx * vx + vy * vy)
    return -100 * far - 100 * fast - 100 * jnp.abs(angle) + 10 * right + 10 * left


def _fuel_cost(power: Power) -> jax.Array:
    return 0.3 * power.main + 0.03 * power.side
