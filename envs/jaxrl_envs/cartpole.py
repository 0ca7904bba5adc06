"""CartPole-v1: a pole on a cart, to be kept upright (Barto, Sutton & Anderson 1983).

The dynamics, the reward and the limits are Gymnasium's and gymnax's: Euler steps of 0.02 s, +1 for
every step up to and including the one on which the pole falls, the end at ±12° or ±2.4 m, and a
time limit of 500 steps that truncates.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxrl_envs import base, draw, spaces, words


@struct.dataclass
class CartPoleState(base.EnvState):
    """Cart and pole.

    Attributes:
        x: cart position, m, to the right.
        x_dot: cart velocity, m/s.
        theta: pole angle from upright, rad, clockwise.
        theta_dot: angular velocity, rad/s.
    """

    x: jax.Array
    x_dot: jax.Array
    theta: jax.Array
    theta_dot: jax.Array


@struct.dataclass
class CartPoleParams(base.EnvParams):
    """Constants, in SI units; `length` is half the pole's."""

    gravity: float = 9.8
    masscart: float = 1.0
    masspole: float = 0.1
    length: float = 0.5
    force_mag: float = 10.0
    tau: float = 0.02
    theta_threshold_radians: float = 12 * 2 * math.pi / 360
    x_threshold: float = 2.4
    max_steps_in_episode: int = 500


class CartPole(base.Environment):
    """CartPole-v1. Action 0 pushes the cart left, 1 right; inside `jit` others are clamped."""

    quantities: ClassVar[dict[str, tuple[str, str]]] = {
        "cart_position": ("m", "position of the cart; 0 is the middle, positive is right"),
        "cart_velocity": ("m/s", "velocity of the cart; positive is to the right"),
        "pole_angle": ("rad", "tilt of the pole from upright; positive is to the right"),
        "pole_angle_degrees": ("deg", "the same tilt in degrees"),
        "pole_angular_velocity": ("rad/s", "how fast the tilt grows"),
        "time": ("steps", "steps since the episode began"),
    }

    @property
    def name(self) -> str:
        """The name under which it is registered."""
        return "CartPole-v1"

    @property
    def default_params(self) -> CartPoleParams:
        """Gymnasium's constants."""
        return CartPoleParams()

    def step_env(
        self, key: jax.Array, state: CartPoleState, action: Any, params: CartPoleParams
    ) -> tuple[jax.Array, CartPoleState, jax.Array, jax.Array, dict[str, Any]]:
        """One step of 0.02 s. A state that had terminated before gives reward 0."""
        del key
        fell_before = self.is_terminated(state, params)
        state = self.move(state, action, params)
        reward = 1.0 - fell_before.astype(jnp.float32)
        return self.get_obs(state), state, reward, self.is_terminated(state, params), {}

    def move(self, state: CartPoleState, action: Any, params: CartPoleParams) -> CartPoleState:
        """The state 0.02 s later; raises ValueError for an action that is none, outside `jit`."""
        self.check_action(action)
        force = jnp.where(action > 0, params.force_mag, -params.force_mag)
        cos, sin = jnp.cos(state.theta), jnp.sin(state.theta)
        total_mass = params.masspole + params.masscart
        polemass_length = params.masspole * params.length

        # https://coneural.org/florian/papers/05_cart_pole.pdf, as in Gymnasium
        temp = (force + polemass_length * state.theta_dot**2 * sin) / total_mass
        theta_acc = (params.gravity * sin - cos * temp) / (
            params.length * (4.0 / 3.0 - params.masspole * cos**2 / total_mass)
        )
        x_acc = temp - polemass_length * theta_acc * cos / total_mass

        return state.replace(
            time=state.time + 1,
            x=state.x + params.tau * state.x_dot,
            x_dot=state.x_dot + params.tau * x_acc,
            theta=state.theta + params.tau * state.theta_dot,
            theta_dot=state.theta_dot + params.tau * theta_acc,
        )

    def reset_env(self, key: jax.Array, params: CartPoleParams) -> tuple[jax.Array, CartPoleState]:
        """All four quantities uniform in ±0.05."""
        return self._start(jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05))

    def reset_batch(
        self, key: jax.Array, params: CartPoleParams, num_envs: int
    ) -> tuple[jax.Array, CartPoleState]:
        """The same for `num_envs` lanes, of one draw of a word each."""
        return self._start(words.uniform(key, (num_envs,), 4, -0.05, 0.05))

    def _start(self, noise: jax.Array) -> tuple[jax.Array, CartPoleState]:
        """`(obs, state)` of noise `[..., 4]`."""
        x, x_dot, theta, theta_dot = jnp.moveaxis(noise, -1, 0)
        time = jnp.zeros(noise.shape[:-1], jnp.int32)
        return noise, CartPoleState(time, x, x_dot, theta, theta_dot)

    def get_obs(
        self, state: CartPoleState, params: Any = None, key: jax.Array | None = None
    ) -> jax.Array:
        """`[x, x_dot, theta, theta_dot]`, float32."""
        return jnp.stack([state.x, state.x_dot, state.theta, state.theta_dot], axis=-1)

    def is_terminated(self, state: CartPoleState, params: CartPoleParams) -> jax.Array:
        """The pole tilts beyond its limit, or the cart leaves the track."""
        fallen = jnp.abs(state.theta) > params.theta_threshold_radians
        return fallen | (jnp.abs(state.x) > params.x_threshold)

    def action_space(self, params: CartPoleParams | None = None) -> spaces.Discrete:
        """Left, right."""
        return spaces.Discrete(2)

    def observation_space(self, params: CartPoleParams | None = None) -> spaces.Box:
        """Twice the limits of position and tilt, so that a failing observation is inside."""
        params = params or self.default_params
        top = np.finfo(np.float32).max
        high = [params.x_threshold * 2, top, params.theta_threshold_radians * 2, top]
        return spaces.Box(-jnp.array(high, jnp.float32), jnp.array(high, jnp.float32), (4,))

    def describe(self, state: CartPoleState, params: CartPoleParams) -> dict[str, jax.Array]:
        """The state in words' worth of numbers; units are in `quantities`."""
        return {
            "cart_position": state.x,
            "cart_velocity": state.x_dot,
            "pole_angle": state.theta,
            "pole_angle_degrees": jnp.rad2deg(state.theta),
            "pole_angular_velocity": state.theta_dot,
            "time": state.time,
        }

    def render(
        self,
        state: CartPoleState,
        params: CartPoleParams,
        *,
        height: int = 400,
        width: int = 600,
    ) -> jax.Array:
        """Gymnasium's picture of one state, uint8 `[height, width, 3]`.

        The track is always as wide as the picture; heights are Gymnasium's at 400 by 600 and
        scale with the width. Positions are not rounded to pixels, as Gymnasium's are, so that a
        small motion shows.
        """
        return draw.to_uint8(self.picture(state, params, draw.canvas(height, width)))

    def picture(self, state: CartPoleState, params: CartPoleParams, at: draw.Canvas) -> jax.Array:
        """The same before it is rounded, float32 `[H, W, 3]`."""
        width = at.x.shape[1]
        unit = width / 600  # pixels of this picture per pixel of Gymnasium's
        # Gymnasium's coordinates are pixels, not points between them, and its shapes include
        # their outline: they are a pixel wider than they say.
        rim = 0.5 * unit
        track = 100 * unit + rim
        per_meter = width / (2 * params.x_threshold)
        middle = state.x * per_meter + width / 2
        axle = jnp.array([middle, track + 7 * unit])

        pole_length = per_meter * 2 * params.length
        pole = draw.box(-5 * unit, -5 * unit, 5 * unit, 0.0)
        pole = pole.at[2:, 1].set(pole_length - 5 * unit)
        pole = draw.rotate(pole, -state.theta) + axle

        image = draw.background(at, (255, 255, 255))
        # At least a pixel thick, or the track fades out of small pictures.
        image = draw.paint(image, draw.outline(at.y - track, max(1.0, unit)), (0, 0, 0))
        body = draw.rectangle(
            at, middle - 25 * unit, track - 15 * unit, middle + 25 * unit, track + 15 * unit
        )
        for shape, color in (
            (body, (0, 0, 0)),
            (draw.polygon(at, pole), (202, 152, 101)),
            (draw.disc(at, axle, 5 * unit), (129, 132, 203)),
        ):
            image = draw.paint(image, draw.coverage(draw.grow(shape, rim)), color)
        return image
