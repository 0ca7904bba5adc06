"""The state of LunarLander, and its parameters."""

from __future__ import annotations

import jax
from flax import struct

from jaxrl_envs import base
from jaxrl_envs.lunar_lander.engines import Power
from jaxrl_envs.lunar_lander.world import World


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
            if not base.is_number(value):
                continue  # its number is not known
            inside = low < value < high if is_open else low <= value <= high
            if not inside:
                brackets = "()" if is_open else "[]"
                raise ValueError(
                    f"{name}={value} of LunarLander: needed is a number in "
                    f"{brackets[0]}{low:g}, {high:g}{brackets[1]}."
                )
