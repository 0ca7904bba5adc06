"""LunarLander, with discrete and with continuous engines, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping

import jax.numpy as jnp

from jaxrl.agents.actions import Actions, Choice, Number
from jaxrl.agents.worlds import Ending, Mark, Quantities, World
from jaxrl.agents.worlds.balance import side
from jaxrl.types import Array

WORLD_WIDTH, PAD_HEIGHT = 20.0, 10.0 / 3.0
"""Metres that a frame is wide, and the pad's height in it."""


def _wanted(q: Quantities) -> tuple[Array, Array]:
    """How strongly to turn left (positive) and to thrust, by two controllers with damping.

    The lander leans against its drift, and falls the more slowly the nearer the ground is; over
    the pad it may be as low as it likes, beside it it stays up. With a leg down nothing turns it,
    and the engine only brakes.
    """
    x, y = jnp.asarray(q["x"]), jnp.asarray(q["y"])
    lean = jnp.clip(0.05 * x + 0.2 * jnp.asarray(q["x_velocity"]), -0.4, 0.4)
    turn = 0.5 * (lean - q["angle"]) - 0.5 * jnp.asarray(q["angular_velocity"])
    above = y - 0.37 * jnp.abs(x)
    thrust = -0.075 * above - 0.0667 * 2.5 * jnp.asarray(q["y_velocity"])
    down = jnp.asarray(q["left_leg_contact"], bool) | jnp.asarray(q["right_leg_contact"], bool)
    brake = -0.0667 * 2.5 * jnp.asarray(q["y_velocity"])
    return jnp.where(down, 0.0, turn), jnp.where(down, brake, thrust)


def _heuristic(q: Quantities) -> Array:
    turn, thrust = _wanted(q)
    small = 0.05
    action = jnp.where(turn > small, 1, jnp.where(turn < -small, 3, 0))
    return jnp.where((thrust > jnp.abs(turn)) & (thrust > small), 2, action)


def _heuristic_continuous(q: Quantities) -> Array:
    turn, thrust = _wanted(q)
    power = jnp.stack([thrust * 20 - 1, -turn * 20], axis=-1)
    return jnp.clip(power, -1.0, 1.0)


def _facts(q: Mapping[str, float]) -> list[str]:
    x, across = q["x"], q["x_velocity"]
    drift = "towards" if x * across < 0 else "away from"
    tilt, spin = q["angle_degrees"], math.degrees(q["angular_velocity"])
    # Angles are counter-clockwise, to the left.
    leans = f"{abs(tilt):.0f} degrees to the {'left' if tilt > 0 else 'right'}"
    lines = [
        f"You are {side(x, ' m')} of the pad's middle and drift {drift} it at "
        f"{abs(across):.2f} m/s.",
        f"You lean {leans} and turn to the {'left' if spin > 0 else 'right'} at {abs(spin):.0f} "
        "degrees per second.",
    ]
    falling = -q["y_velocity"]
    if falling > 0.01:
        seconds = max(q["y"], 0) / falling
        lines.append(f"You fall at {falling:.2f} m/s: {seconds:.1f} s until the pad's height.")
    else:
        lines.append(f"You rise at {-falling:.2f} m/s.")
    if q["left_leg_contact"] or q["right_leg_contact"]:
        lines.append("A leg touches the ground: shut the engines off unless you fall fast.")
    return lines


def _objects(q: Mapping[str, float], height: int, width: int) -> list[Mark]:
    meter = width / WORLD_WIDTH
    ground = height - PAD_HEIGHT * meter
    return [
        Mark("lander", width / 2 + q["x"] * meter, ground - q["height_above_pad"] * meter),
        Mark("pad", width / 2, ground),
    ]


def _outcome(end: Ending) -> str:
    if not end.terminated:
        return "out of time"
    if end.last["crashed"]:
        return "crashed"
    return "landed" if end.last["at_rest"] else "drifted out"


_NEEDS = (
    "x",
    "y",
    "x_velocity",
    "y_velocity",
    "angle",
    "angular_velocity",
    "left_leg_contact",
    "right_leg_contact",
    "height_above_pad",
    "crashed",
    "at_rest",
)
_GOAL = (
    "Land a lunar lander softly on the pad between the two flags, in the middle of the picture, "
    "and come to rest there upright on both legs. Hitting the ground with the hull is a crash; "
    "leaving the picture at a side ends the episode too. Fuel costs a little. Gravity pulls down "
    "all the time, so doing nothing means falling ever faster."
)

LANDER = World(
    name="LunarLander",
    needs=_NEEDS,
    goal=_GOAL,
    actions=Actions(
        (
            Choice(
                "nothing",
                "all engines off: you fall freely",
                ("do nothing", "no action", "no-op", "noop", "fire nothing", "none"),
            ),
            Choice(
                "fire left",
                "the left engine: turns you to the left (counter-clockwise) and pushes you left",
                ("fire left engine", "left engine", "fire the left engine"),
            ),
            Choice(
                "fire main",
                "the main engine: pushes you the way you point, up if you are upright",
                ("fire main engine", "main engine", "fire the main engine", "fire main thruster"),
            ),
            Choice(
                "fire right",
                "the right engine: turns you to the right (clockwise) and pushes you right",
                ("fire right engine", "right engine", "fire the right engine"),
            ),
        )
    ),
    idle="nothing",
    outcomes=("landed", "crashed", "drifted out", "out of time"),
    outcome=_outcome,
    facts=_facts,
    heuristic=_heuristic,
    objects=_objects,
)

LANDER_CONTINUOUS = LANDER._replace(
    name="LunarLanderContinuous",
    actions=Actions(
        numbers=(
            Number("main", "power of the main engine: off up to 0, then from half to full", -1, 1),
            Number(
                "side",
                "below -0.5 the left engine turns you left, above 0.5 the right one turns you "
                "right, off between",
                -1,
                1,
            ),
        )
    ),
    idle=(0.0, 0.0),
    heuristic=_heuristic_continuous,
)
