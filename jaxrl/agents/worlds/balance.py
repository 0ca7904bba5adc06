"""CartPole, Acrobot and Pendulum, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping

import jax.numpy as jnp

from jaxrl.agents.actions import Actions, Choice, Number
from jaxrl.agents.worlds import Ending, Mark, Quantities, World
from jaxrl.types import Array


def side(value: float, unit: str = "") -> str:
    """`0.31 m to the right`; positive is right."""
    return f"{abs(value):.2f}{unit} to the {'right' if value > 0 else 'left'}"


def _cartpole_heuristic(q: Quantities) -> Array:
    """Pushes the way the pole will have fallen in a third of a second, and back to the middle."""
    falling = q["pole_angle"] + 0.3 * q["pole_angular_velocity"]
    drifting = 0.05 * q["cart_position"] + 0.08 * q["cart_velocity"]
    return jnp.asarray(falling + drifting > 0, jnp.int32)


def _cartpole_facts(q: Mapping[str, float]) -> list[str]:
    angle, speed = q["pole_angle_degrees"], math.degrees(q["pole_angular_velocity"])
    moving = "away from upright" if angle * speed > 0 else "back towards upright"
    return [
        f"The pole leans {side(angle, ' degrees')} and turns {moving} at {abs(speed):.0f} degrees "
        "per second.",
        f"If nothing changed it would lean {side(angle + 0.1 * speed, ' degrees')} in 0.1 s.",
        f"It falls at 12 degrees: {max(12 - abs(angle), 0):.1f} are left.",
        f"The cart is {side(q['cart_position'], ' m')} of the middle, "
        f"{max(2.4 - abs(q['cart_position']), 0):.2f} m from the track's end.",
    ]


def _cartpole_objects(q: Mapping[str, float], height: int, width: int) -> list[Mark]:
    meter, axle = width / 4.8, height - 107 * width / 600
    x = width / 2 + q["cart_position"] * meter
    angle = q["pole_angle"]
    return [
        Mark("cart", x, axle + 7 * width / 600),
        Mark("pole tip", x + math.sin(angle) * meter, axle - math.cos(angle) * meter),
    ]


def _cartpole_outcome(end: Ending) -> str:
    if not end.terminated:
        return "stood to the end"
    return "left the track" if abs(end.last["cart_position"]) > 2.4 else "pole fell"


CARTPOLE = World(
    name="CartPole",
    needs=("cart_position", "cart_velocity", "pole_angle", "pole_angular_velocity"),
    goal=(
        "A pole stands on a cart that runs on a track. Keep the pole upright by pushing the cart, "
        "for as long as you can. The episode ends when the pole leans more than 12 degrees or the "
        "cart is more than 2.4 m from the middle."
    ),
    actions=Actions(
        (
            Choice("push left", "pushes the cart to the left with 10 N for one step", ("left",)),
            Choice("push right", "pushes the cart to the right with 10 N for one step", ("right",)),
        )
    ),
    idle="push left",
    outcomes=("stood to the end", "pole fell", "left the track"),
    outcome=_cartpole_outcome,
    facts=_cartpole_facts,
    heuristic=_cartpole_heuristic,
    objects=_cartpole_objects,
)


def _acrobot_heuristic(q: Quantities) -> Array:
    """Torque with the second link's swing, which puts energy in at every step."""
    return jnp.where(jnp.asarray(q["angular_velocity_2"]) > 0, 2, 0)


def _acrobot_facts(q: Mapping[str, float]) -> list[str]:
    turns = "counter-clockwise" if q["angular_velocity_1"] > 0 else "clockwise"
    bends = "counter-clockwise" if q["angular_velocity_2"] > 0 else "clockwise"
    return [
        f"The first link swings {turns}; the second turns {bends} against the first.",
        f"The free end has to rise {max(1 - q['tip_height'], 0):.2f} m more.",
    ]


def _acrobot_objects(q: Mapping[str, float], height: int, width: int) -> list[Mark]:
    scale = min(height, width) / 4.4
    one, both = q["angle_1"], q["angle_1"] + q["angle_2"]
    x, y = width / 2 + scale * math.sin(one), height / 2 + scale * math.cos(one)
    return [
        Mark("joint", x, y),
        Mark("free end", x + scale * math.sin(both), y + scale * math.cos(both)),
    ]


ACROBOT = World(
    name="Acrobot",
    needs=("angle_1", "angle_2", "angular_velocity_1", "angular_velocity_2", "tip_height"),
    goal=(
        "Two links hang from a pivot, and only the joint between them has a motor. Swing the free "
        "end above the line 1 m over the pivot, in as few steps as you can. One push is not "
        "enough: swing to and fro and add energy each time."
    ),
    actions=Actions(
        (
            Choice(
                "turn clockwise",
                "torque of -1 N m on the joint: turns the second link clockwise",
                ("clockwise",),
            ),
            Choice("no torque", "leaves the joint free", ("nothing", "do nothing", "none")),
            Choice(
                "turn counter-clockwise",
                "torque of +1 N m on the joint: turns the second link counter-clockwise",
                ("turn counterclockwise", "counter-clockwise", "counterclockwise"),
            ),
        )
    ),
    idle="no torque",
    outcomes=("reached the line", "out of time"),
    outcome=lambda end: "reached the line" if end.terminated else "out of time",
    facts=_acrobot_facts,
    heuristic=_acrobot_heuristic,
    objects=_acrobot_objects,
)

FULL_ENERGY = 15.0
"""Of a pendulum at rest upright, `θ'²/2 + 15 cos θ`, in Gymnasium's units (g = 10, m = l = 1)."""


def _pendulum_heuristic(q: Quantities) -> Array:
    """Pumps energy until there is enough to stand, then holds the rod as a spring would."""
    angle, speed = jnp.asarray(q["angle"]), jnp.asarray(q["angular_velocity"])
    energy = 0.5 * speed**2 + FULL_ENERGY * jnp.cos(angle)
    pump = jnp.where(speed >= 0, 1.0, -1.0) * jnp.where(energy < FULL_ENERGY, 2.0, -1.0)
    hold = -10.0 * angle - 2.0 * speed
    near = jnp.abs(angle) < 0.5
    return jnp.clip(jnp.where(near, hold, pump), -2.0, 2.0)[..., None]


def _pendulum_facts(q: Mapping[str, float]) -> list[str]:
    angle, speed = q["angle_degrees"], math.degrees(q["angular_velocity"])
    way = "counter-clockwise" if angle > 0 else "clockwise"
    moving = "away from upright" if angle * speed > 0 else "towards upright"
    return [
        f"The rod is {abs(angle):.0f} degrees {way} of upright and turns {moving} at "
        f"{abs(speed):.0f} degrees per second."
    ]


def _pendulum_objects(q: Mapping[str, float], height: int, width: int) -> list[Mark]:
    scale = min(height, width) / 4.4
    x, y = width / 2 - scale * math.sin(q["angle"]), height / 2 - scale * math.cos(q["angle"])
    return [Mark("axle", width / 2, height / 2), Mark("rod's end", x, y)]


def _pendulum_outcome(end: Ending) -> str:
    still = abs(end.last["angle"]) < 0.2 and abs(end.last["angular_velocity"]) < 1
    return "upright at the end" if still else "not upright"


PENDULUM = World(
    name="Pendulum",
    needs=("angle", "angular_velocity", "torque"),
    goal=(
        "A rod turns about an axle, and the motor is too weak to lift it at once. Swing it up and "
        "hold it upright and still, with little torque. Each step costs the square of the angle "
        "from upright, and a little for speed and torque."
    ),
    actions=Actions(
        numbers=(
            Number("torque", "torque on the axle; positive is counter-clockwise", -2, 2, "N m"),
        )
    ),
    idle=(0.0,),
    outcomes=("upright at the end", "not upright"),
    outcome=_pendulum_outcome,
    facts=_pendulum_facts,
    heuristic=_pendulum_heuristic,
    objects=_pendulum_objects,
)
