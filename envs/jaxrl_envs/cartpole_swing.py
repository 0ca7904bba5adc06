"""CartPoleSwing-v0: keep the pole upright, and swing the cart from side to side.

The dynamics, the start and the ends of CartPole-v1 with the task of the experiments on generated
reward code: three more quantities, `swing_threshold`, `has_touched_left_threshold` and
`has_touched_right_threshold`, at most 2000 steps, and a fitness that the reward is:

- +1 for every step,
- +10 on entering a threshold zone, once until the other side was touched,
- +100 for a full swing back and forth.

A score above 2000 therefore means: balances, and moves. What that description leaves open is
settled so:

- A zone is everything beyond ±`swing_threshold`, its edge included. Where it begins is not told;
  0.5 m is our choice, and a parameter.
- Staying in a zone, or leaving and entering it again, pays nothing: only the side that was not
  touched last pays, or a cart that stands in a zone would score 22,000.
- A full swing is from one side to the other and back. The flags say what the swing under way has
  touched; the side where a swing ends is where the next begins. Which side was touched last does
  not follow from two flags that are both set, so the state and the observation hold it too.
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl_envs import base, cartpole, draw, spaces

EXTRA = ("swing_threshold", "has_touched_left_threshold", "has_touched_right_threshold")

TOUCHED, UNTOUCHED = (80.0, 180.0, 80.0), (205.0, 205.0, 205.0)
"""Colours of the zones."""


@struct.dataclass
class CartPoleSwingState(cartpole.CartPoleState):
    """Cart, pole and the swing under way.

    Attributes:
        swing_threshold: where the zones begin, m from the middle; the parameter as it was when
            the episode began.
        has_touched_left_threshold: whether this swing has touched the left zone.
        has_touched_right_threshold: whether this swing has touched the right zone.
        last_touched: which zone was touched last, int32: -1 left, 1 right, 0 none yet.
    """

    swing_threshold: jax.Array
    has_touched_left_threshold: jax.Array
    has_touched_right_threshold: jax.Array
    last_touched: jax.Array


@struct.dataclass
class CartPoleSwingParams(cartpole.CartPoleParams):
    """CartPole's constants, where the zones begin (m), and what is paid."""

    swing_threshold: float = 0.5
    touch_reward: float = 10.0
    swing_reward: float = 100.0
    max_steps_in_episode: int = 2000

    def __post_init__(self) -> None:
        """Raises ValueError for zones that meet in the middle, or that the cart cannot reach."""
        inner, outer = self.swing_threshold, self.x_threshold
        if base.is_number(inner) and base.is_number(outer) and not 0 < inner < outer:
            raise ValueError(
                f"swing_threshold={inner} of CartPoleSwing: needed is a number above 0 and below "
                f"x_threshold={outer:g}, where the track ends."
            )


class CartPoleSwing(cartpole.CartPole):
    """CartPoleSwing-v0. Action 0 pushes the cart left, 1 right; inside `jit` others are clamped."""

    quantities: ClassVar[dict[str, tuple[str, str]]] = {
        **cartpole.CartPole.quantities,
        "swing_threshold": ("m", "how far from the middle the zones on either side begin"),
        "has_touched_left_threshold": ("bool", "whether this swing has touched the left zone"),
        "has_touched_right_threshold": ("bool", "whether this swing has touched the right zone"),
        "last_touched": ("side", "zone that was touched last: -1 left, 1 right, 0 none yet"),
    }

    @property
    def name(self) -> str:
        """The name under which it is registered."""
        return "CartPoleSwing-v0"

    @property
    def default_params(self) -> CartPoleSwingParams:
        """Gymnasium's constants, and the fitness as it was described."""
        return CartPoleSwingParams()

    def step_env(
        self, key: jax.Array, state: CartPoleSwingState, action: Any, params: CartPoleSwingParams
    ) -> tuple[jax.Array, CartPoleSwingState, jax.Array, jax.Array, dict[str, Any]]:
        """One step of 0.02 s. A state that had terminated before gives reward 0."""
        del key
        fell_before = self.is_terminated(state, params)
        state, touched, swung = touch(self.move(state, action, params))
        reward = 1.0 + params.touch_reward * touched + params.swing_reward * swung
        reward = jnp.where(fell_before, 0.0, reward)
        return self.get_obs(state), state, reward, self.is_terminated(state, params), {}

    def reset_env(
        self, key: jax.Array, params: CartPoleSwingParams
    ) -> tuple[jax.Array, CartPoleSwingState]:
        """All four quantities uniform in ±0.05, nothing touched."""
        return self._still(super().reset_env(key, params)[1], params)

    def reset_batch(
        self, key: jax.Array, params: CartPoleSwingParams, num_envs: int
    ) -> tuple[jax.Array, CartPoleSwingState]:
        """The same for `num_envs` lanes, of one draw of a word each."""
        return self._still(super().reset_batch(key, params, num_envs)[1], params)

    def _still(
        self, state: cartpole.CartPoleState, params: CartPoleSwingParams
    ) -> tuple[jax.Array, CartPoleSwingState]:
        shape = state.x.shape
        swing = CartPoleSwingState(
            **vars(state),
            swing_threshold=jnp.full(shape, params.swing_threshold, jnp.float32),
            has_touched_left_threshold=jnp.zeros(shape, jnp.bool_),
            has_touched_right_threshold=jnp.zeros(shape, jnp.bool_),
            last_touched=jnp.zeros(shape, jnp.int32),
        )
        return self.get_obs(swing), swing

    def get_obs(
        self, state: CartPoleSwingState, params: Any = None, key: jax.Array | None = None
    ) -> jax.Array:
        """CartPole's four, the threshold, the two flags and the side touched last, float32."""
        more = [getattr(state, name) for name in (*EXTRA, "last_touched")]
        more = jnp.stack([value.astype(jnp.float32) for value in more], axis=-1)
        return jnp.concatenate([super().get_obs(state), more], axis=-1)

    def observation_space(self, params: CartPoleSwingParams | None = None) -> spaces.Box:
        """CartPole's bounds, a threshold that the cart can reach, flags and a sign."""
        params = params or self.default_params
        box = super().observation_space(params)
        low = jnp.concatenate([box.low, jnp.array([0.0, 0.0, 0.0, -1.0])])
        high = jnp.concatenate([box.high, jnp.array([2 * params.x_threshold, 1.0, 1.0, 1.0])])
        return spaces.Box(low, high, (8,))

    def describe(
        self, state: CartPoleSwingState, params: CartPoleSwingParams
    ) -> dict[str, jax.Array]:
        """The state in words' worth of numbers; units are in `quantities`."""
        more = {name: getattr(state, name) for name in (*EXTRA, "last_touched")}
        return super().describe(state, params) | more

    def render(
        self,
        state: CartPoleSwingState,
        params: CartPoleSwingParams,
        *,
        height: int = 400,
        width: int = 600,
    ) -> jax.Array:
        """CartPole's picture, the zones marked below the track: green where this swing has touched.

        Returns:
            uint8 `[height, width, 3]`.
        """
        at, unit = draw.canvas(height, width), width / 600

        def with_zones(at: draw.Canvas) -> jax.Array:
            ground = draw.rectangle(at, 0.0, 60 * unit, float(width), 90 * unit)
            edge = state.swing_threshold * width / (2 * params.x_threshold)
            outside = edge - jnp.abs(at.x - width / 2)
            touched = jnp.where(
                at.x < width / 2,
                state.has_touched_left_threshold,
                state.has_touched_right_threshold,
            )
            colors = jnp.where(touched[..., None], jnp.array(TOUCHED), jnp.array(UNTOUCHED))
            zones = draw.coverage(jnp.maximum(ground, outside))
            return draw.paint(self.picture(state, params, at), zones, colors)

        picture = super().render(state, params, height=height, width=width)
        strip = draw.window_around(at, (width / 2, 75 * unit), (width / 2, 15 * unit + 1))
        return draw.redraw(picture, at, strip, with_zones)


def touch(state: CartPoleSwingState) -> tuple[CartPoleSwingState, jax.Array, jax.Array]:
    """Brings flags up to date with the cart's position.

    Returns:
        The state, whether a side was touched anew, and whether that completed a swing.
    """
    left = state.x <= -state.swing_threshold
    right = state.x >= state.swing_threshold
    side = right.astype(jnp.int32) - left.astype(jnp.int32)
    touched = (side != 0) & (side != state.last_touched)
    was_left, was_right = state.has_touched_left_threshold, state.has_touched_right_threshold
    # Back on a side that this swing has touched before: it is complete, the next one begins here.
    swung = touched & jnp.where(left, was_left, was_right)
    state = state.replace(
        has_touched_left_threshold=jnp.where(swung, left, was_left | (touched & left)),
        has_touched_right_threshold=jnp.where(swung, right, was_right | (touched & right)),
        last_touched=jnp.where(touched, side, state.last_touched),
    )
    return state, touched, swung
