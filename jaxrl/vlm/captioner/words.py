"""Facts into plain English, by fixed sentences; docs/vlm_captioner.md lists them.

The sentences are regular, so that they can be read back; words that keyword rules look for, such as
"inside" or "center", are only used where they are meant. All thresholds of words are here.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from jaxrl.vlm.captioner.acrobot import AcrobotFacts
from jaxrl.vlm.captioner.aspects import Aspect, Caption, closeness, count, lean, side
from jaxrl.vlm.captioner.breakout import BreakoutFacts
from jaxrl.vlm.captioner.cartpole import CartPoleFacts
from jaxrl.vlm.captioner.lunar_lander import LunarLanderFacts
from jaxrl.vlm.captioner.pendulum import PendulumFacts
from jaxrl.vlm.captioner.snake import SnakeFacts

CENTER = 1 / 6
"""Up to this share of the distance between the flags, a lander is in their center."""
INSIDE = 0.5
HIGH, LOW = 1.25, 0.5
"""Heights above the ground, in distances between the flags, above and below which it is so."""
UPRIGHT, UPSIDE_DOWN = 10.0, 120.0
"""Tilts in degrees up to and from which a lander is so."""
FALLEN = 12.0
"""A tilt in degrees at which a pole is as far from upright as scores tell."""


@singledispatch
def caption(facts: Any) -> Caption:
    """What there is to say about the facts of a picture.

    Raises:
        TypeError: no facts of a scene that is known.
    """
    raise TypeError(f"{type(facts).__name__} holds no facts of a scene")


@caption.register
def _cartpole(facts: CartPoleFacts) -> Caption:
    share = f"{100 * abs(facts.position):.1f}"
    cart = "The cart is at the center of the track."
    if float(share) > 0:
        end = side(facts.position)
        cart = f"The cart is {end} of the center, {share} % of the way to the {end} end."
    pole = Aspect(
        ("pole", "upright", "balanc", "tilt", "lean", "vertical"),
        closeness(facts.tilt, FALLEN),
        facts.tilt is not None and abs(facts.tilt) < 3,
    )
    middle = Aspect(
        ("cart", "center", "centre", "middle", "track"),
        closeness(facts.position, 1.0),
        abs(facts.position) < 0.1,
    )
    sentences = (lean("The pole leans", facts.tilt), cart)
    return Caption(sentences, 2, (pole, middle), facts.tilt, "The pole leans")


def sideways(x: float) -> str:
    """Where a lander is, from its offset from the pad's middle in distances between the flags."""
    if abs(x) > INSIDE:
        return f"outside the flags, to the {side(x)}"
    where = "in the center" if abs(x) <= CENTER else f"near the {side(x)} flag"
    return f"inside the flags, {where}"


def height(above_ground: float, touches: bool) -> str:
    """How high a lander is, from its height above the ground in distances between the flags."""
    if touches:
        return "on the ground"
    if above_ground > HIGH:
        return "high above the ground"
    return "low above the ground" if above_ground < LOW else "some way above the ground"


def attitude(tilt: float | None) -> str:
    """How a lander is turned, from its tilt in degrees."""
    if tilt is None:
        return "partly out of the picture"
    if abs(tilt) <= UPRIGHT:
        return "upright"
    return "upside down" if abs(tilt) >= UPSIDE_DOWN else "tilted"


@caption.register
def _lunar_lander(facts: LunarLanderFacts) -> Caption:
    if facts.x is None or facts.height is None or facts.height_above_pad is None:
        return Caption(("The lander is out of the picture.",), 1, ())
    touches = facts.left_leg or facts.right_leg or facts.hull
    upright = facts.tilt is not None and abs(facts.tilt) <= UPRIGHT
    fires = facts.main_engine or facts.pushed is not None
    landed = facts.left_leg and facts.right_leg and upright and not facts.hull
    up = f"{abs(facts.height_above_pad):.2f} {'up' if facts.height_above_pad >= 0 else 'down'}"
    sentences = [
        f"The lander is {sideways(facts.x)}.",
        f"It is {height(facts.height, touches)}.",
        f"It is {attitude(facts.tilt)}.",
        f"Its offset is {abs(facts.x):.2f} flag distances to the {side(facts.x)}, and {up}.",
        *([lean("It leans", facts.tilt)] if facts.tilt is not None else []),
        _legs(facts),
        *(["It has crashed: its hull touches the ground."] if facts.hull else []),
        *(["It has landed and is stable."] if landed else []),
        *_engines(facts),
    ]
    flags, ground, turn = (
        ("flag", "pad", "between", "inside", "within", "center", "middle"),
        ("ground", "land", "low", "height", "surface", "snow"),
        ("upright", "upside", "tilt", "stable", "vertical"),
    )
    aspects = (
        Aspect(flags, closeness(facts.x, 2.5), abs(facts.x) <= INSIDE),
        Aspect(ground, closeness(facts.height_above_pad, 3.3), touches),
        Aspect(turn, closeness(facts.tilt, 90.0), upright),
        Aspect(("crash", "hull"), None, facts.hull, asked_only=True),
        Aspect(("engine", "firing", "exhaust"), None, fires, asked_only=True),
    )
    return Caption(tuple(sentences), 3, aspects, facts.tilt, "It leans")


def _legs(facts: LunarLanderFacts) -> str:
    if facts.left_leg and facts.right_leg:
        return "Both legs touch the ground."
    if facts.left_leg or facts.right_leg:
        return f"The {'left' if facts.left_leg else 'right'} leg touches the ground."
    return "No leg touches the ground."


def _engines(facts: LunarLanderFacts) -> list[str]:
    said = ["The main engine is firing."] if facts.main_engine else []
    if facts.pushed is not None:
        said.append(f"A side engine pushes it to the {facts.pushed}.")
    return said or ["No engine is firing."]


@caption.register
def _snake(facts: SnakeFacts) -> Caption:
    row, column = facts.head
    heading = f" and heads {facts.heading}" if facts.heading else ""
    free = ", ".join(f"{cells} {way}" for way, cells in facts.free.items())
    food, distance = "There is no food.", None
    if facts.food is not None:
        down, right = facts.food[0] - row, facts.food[1] - column
        ways = (("down" if down > 0 else "up", abs(down)), (side(right), abs(right)))
        far = " and ".join(f"{count(cells, 'cell')} {way}" for way, cells in ways if cells)
        food, distance = f"The food is {far} from the head.", abs(down) + abs(right)
    ahead = facts.free.get(facts.heading or "", 0)
    sentences = (
        food,
        f"The snake is {count(facts.length, 'cell')} long{heading}.",
        f"Free cells around its head: {free}.",
        f"Its head is in row {row} and column {column} of {facts.size}, from 0 at the upper left.",
    )
    whole = facts.size**2
    aspects = (
        Aspect(("food", "eat", "apple"), closeness(distance, 2.0 * facts.size), distance == 1),
        Aspect(("long", "length", "grow"), facts.length / whole, facts.length == whole),
        Aspect(("wall", "safe", "free", "body"), min(1.0, ahead / 3), ahead > 0),
    )
    return Caption(sentences, 2, aspects)


@caption.register
def _breakout(facts: BreakoutFacts) -> Caption:
    row, column = facts.ball
    offset = column - facts.paddle
    where = f"{count(abs(offset), 'cell')} to the {side(offset)} of" if offset else "straight above"
    sentences = [
        f"The ball is {where} the paddle, in row {row} and column {column}.",
        *([f"It is moving {' and '.join(facts.moving)}."] if facts.moving else []),
        f"The paddle is in column {facts.paddle} of 10, from 0 at the left.",
        f"There are {count(facts.bricks, 'brick')} left.",
    ]
    aspects = (
        Aspect(("paddle", "ball", "catch"), closeness(offset, 9.0), offset == 0),
        Aspect(("brick", "wall"), closeness(facts.bricks, 30.0), facts.bricks == 0),
    )
    return Caption(tuple(sentences), len(sentences) - 2, aspects)


@caption.register
def _acrobot(facts: AcrobotFacts) -> Caption:
    where = "above" if facts.height > 0 else "below"
    line = "above" if facts.above_line else "below"
    sentences = (
        f"The free end is {line} the line.",
        f"It is {abs(facts.height):.2f} link lengths {where} the upper joint.",
        lean("From hanging down, the upper link is turned", facts.upper),
        lean("From hanging down, the lower link is turned", facts.lower),
    )
    aspects = (Aspect(("end", "line", "high", "swing"), (facts.height + 2) / 4, line == "above"),)
    return Caption(sentences, 2, aspects)


@caption.register
def _pendulum(facts: PendulumFacts) -> Caption:
    aspects = (
        Aspect(
            ("upright", "pendulum", "rod", "balanc"),
            closeness(facts.tilt, 180.0),
            abs(facts.tilt) < 10,
        ),
    )
    return Caption((lean("The rod leans", facts.tilt),), 1, aspects, facts.tilt, "The rod leans")
