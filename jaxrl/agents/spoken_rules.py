"""The embedded agent: a captioner says what it sees in the frames, rules act on its words.

No key, no network, no model: render, look, say, parse and act run as they would with one. The rules
see nothing but sentences about pixels. How fast things move they read off two captions, so that
they want a strip of frames; what the captioner does not say, they do not know.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from jaxrl.agents.settings import AgentConfig
from jaxrl.agents.worlds import World
from jaxrl.errors import ConfigError
from jaxrl.vlm.captioner import CaptionerClient
from jaxrl.vlm.client import OnOutcome, Sampling
from jaxrl.vlm.messages import Image, Ok, Outcome, Prompt, Turn

LOOK = "Describe this picture."

COVERING = frozenset(("grid", "marks", "crop"))
"""Aids that draw over frames or cut them, so that the captioner would not know them again."""

STEP, FLAG_DISTANCE, HALF_TRACK = 0.02, 4.0, 2.4
"""Seconds a step, metres between the lander's flags and from a track's middle to its end: what
turns the captioner's words into the units of the heuristics."""

Words = str
Moments = Sequence[tuple[int, Words]]
"""`(steps ago, caption)`, oldest first; the last one is of now."""


class RulesOverWords:
    """A client that answers for an agent by captions and rules; see `Client`."""

    def __init__(self, world: World, config: AgentConfig) -> None:
        """Rules for one world.

        Raises:
            ConfigError: there are none for it, or frames are left out or drawn over.
        """
        if world.name not in RULES:
            raise ConfigError(
                f"the captioner has no rules for {world.name}, only for {', '.join(RULES)}: ask a "
                "model with --client, or the text's script with --client scripted."
            )
        if "frame" not in config.shown:
            raise ConfigError("the captioner looks at frames: type --observe image or both.")
        covering = COVERING & set(config.aids)
        if covering:
            raise ConfigError(
                f"the captioner reads plain frames: leave out {', '.join(sorted(covering))}."
            )
        if config.cadence == "plan":
            raise ConfigError("the captioner's rules make no plans: type --cadence 1.")
        self.model, self.sampling = "captioner+rules", Sampling()
        self.world, self.config = world, config
        self._captioner, self._said = CaptionerClient(), {}

    def ask(
        self, prompts: Sequence[Prompt], *, timeout: float, on_outcome: OnOutcome | None = None
    ) -> list[Outcome]:
        """See `Client.ask`; it waits for nobody."""
        shown = {image.digest: image for p in prompts for image in _seen(p).images}
        self._said = {digest: self._say(digest, image, timeout) for digest, image in shown.items()}
        outcomes: list[Outcome] = []
        for index, prompt in enumerate(prompts):
            outcomes.append(Ok(self._answer(prompt)))
            if on_outcome is not None:
                on_outcome(index, outcomes[-1])
        return outcomes

    def close(self) -> None:
        """Lets go of the captioner."""
        self._captioner.close()

    def _say(self, digest: str, image: Image, timeout: float) -> Words:
        """The caption of a frame; that of the last batch where it was in it."""
        if digest in self._said:
            return self._said[digest]
        (outcome,) = self._captioner.ask([Prompt.of(LOOK, image)], timeout=timeout)
        return outcome.text if isinstance(outcome, Ok) else ""

    def _answer(self, prompt: Prompt) -> str:
        turn = _seen(prompt)
        captions = [self._said[image.digest] for image in turn.images]
        if not captions:
            return "I see no frame."
        ago = [int(steps) for steps in re.findall(r"^Image \d+: .*, (\d+) ago\.$", turn.text, re.M)]
        moments = list(zip([*ago, 0], captions, strict=False)) if ago else [(0, captions[-1])]
        now = moments[-1][1]
        quantities = RULES[self.world.name](moments)
        if quantities is None or self.world.heuristic is None:
            return f"I see: {now} That does not tell me what to do."
        action = np.asarray(self.world.heuristic(quantities))
        if not self.world.actions.discrete:
            said = dict(zip(self.world.actions.names, np.ravel(action).tolist(), strict=True))
            return json.dumps({"reasoning": now, "action": said})
        name = self.world.actions.say(action)
        if self.config.answer == "json":
            return json.dumps({"reasoning": now, "action": name})
        return f"I see: {now}\n'{name}'"


def _seen(prompt: Prompt) -> Turn:
    """The turn with the frame: where an answer is to be mended, the one before it."""
    return next((turn for turn in reversed(prompt.turns) if turn.images), prompt.turns[-1])


def signed(text: Words, pattern: str) -> float | None:
    """A number with a side: positive to the right; None where the text has none.

    Args:
        text: a caption.
        pattern: with groups `side` and `number`.
    """
    match = re.search(pattern, text)
    if match is None:
        return None
    return float(match["number"]) * (1 if match["side"] == "right" else -1)


def _lean(text: Words) -> float | None:
    """The lean that a caption tells, degrees to the right."""
    if re.search(r"leans? to neither side", text):
        return 0.0
    return signed(text, r"leans? to the (?P<side>left|right) by (?P<number>[\d.]+) degrees")


def _rate(moments: Moments, read: Callable[[Words], float | None]) -> tuple[float, float] | None:
    """The value now and how fast it grows a second, by a line through all moments.

    Nothing where the last caption does not tell it; 0 a second where no other does.
    """
    told = [(-ago * STEP, value) for ago, text in moments if (value := read(text)) is not None]
    if not told or told[-1][0] != 0 or read(moments[-1][1]) is None:
        return None
    if len({time for time, _ in told}) < 2:
        return told[-1][1], 0.0
    times, values = np.array(told).T
    return told[-1][1], float(np.polyfit(times, values, 1)[0])


def _cartpole(moments: Moments) -> Mapping[str, float] | None:
    def place(text: Words) -> float | None:
        if "at the center of the track" in text:
            return 0.0
        share = signed(
            text, r"The cart is (?P<side>left|right) of the center, (?P<number>[\d.]+) %"
        )
        return None if share is None else share / 100 * HALF_TRACK

    lean, cart = _rate(moments, _lean), _rate(moments, place)
    if lean is None or cart is None:
        return None
    return {
        "pole_angle": math.radians(lean[0]),
        "pole_angular_velocity": math.radians(lean[1]),
        "cart_position": cart[0],
        "cart_velocity": cart[1],
    }


def _lander(moments: Moments) -> Mapping[str, float] | None:
    offset = r"offset is (?P<number>[\d.]+) flag distances to the (?P<side>left|right)"

    def across(text: Words) -> float | None:
        return signed(text, offset)

    def up(text: Words) -> float | None:
        match = re.search(r", and ([\d.]+) (up|down)\.", text)
        return None if match is None else float(match[1]) * (1 if match[2] == "up" else -1)

    x, y, lean = _rate(moments, across), _rate(moments, up), _rate(moments, _lean)
    if x is None or y is None or lean is None:
        return None
    now = moments[-1][1]
    both = "Both legs touch" in now
    return {
        "x": x[0] * FLAG_DISTANCE,
        "x_velocity": x[1] * FLAG_DISTANCE,
        "y": y[0] * FLAG_DISTANCE,
        "y_velocity": y[1] * FLAG_DISTANCE,
        # The captioner leans to the right, the lander's angles are to the left.
        "angle": -math.radians(lean[0]),
        "angular_velocity": -math.radians(lean[1]),
        "left_leg_contact": both or "The left leg touches" in now,
        "right_leg_contact": both or "The right leg touches" in now,
    }


def _pendulum(moments: Moments) -> Mapping[str, float] | None:
    """Angles are counter-clockwise, leans to the right; a turn is taken the short way round."""
    leans = [(ago, _lean(text)) for ago, text in moments]
    if leans[-1][1] is None:
        return None
    earlier = [(ago, lean) for ago, lean in leans[:-1] if lean is not None]
    speed = 0.0
    if earlier:
        ago, lean = earlier[-1]
        turned = (leans[-1][1] - lean + 180) % 360 - 180
        speed = -math.radians(turned) / (ago * 0.05)
    return {"angle": -math.radians(leans[-1][1]), "angular_velocity": speed}


def _snake(moments: Moments) -> Mapping[str, float] | None:
    now = moments[-1][1]
    free = dict(_free(now))
    heading = re.search(r"heads (up|right|down|left)", now)
    if len(free) < 3:
        return None
    away = {way: 0 for way in ("up", "right", "down", "left")}
    food = re.search(r"The food is (.*?) from the head", now)
    for number, way in re.findall(r"(\d+) cells? (up|right|down|left)", food[1] if food else ""):
        away[way] = int(number)
    ways = ("up", "right", "down", "left")
    return {
        **{f"free_{way}": free.get(way, 0) for way in ways},
        "food_below": away["down"] - away["up"],
        "food_right": away["right"] - away["left"],
        "direction": ways.index(heading[1]) if heading else 2,
    }


def _free(text: Words) -> list[tuple[str, int]]:
    said = re.search(r"Free cells around its head: (.*?)\.", text)
    pairs = re.findall(r"(\d+) (up|right|down|left)", said[1] if said else "")
    return [(way, int(number)) for number, way in pairs]


def _breakout(moments: Moments) -> Mapping[str, float] | None:
    now = moments[-1][1]
    ball = re.search(r"in row (\d+) and column (\d+)", now)
    paddle = re.search(r"The paddle is in column (\d+)", now)
    if ball is None or paddle is None:
        return None
    moving = re.search(r"It is moving ([^.]*)", now)
    ways = moving[1] if moving else ""
    return {
        "ball_row": int(ball[1]),
        "ball_column": int(ball[2]),
        "paddle_column": int(paddle[1]),
        "ball_moves_down": 1 if "down" in ways else -1,
        "ball_moves_right": 1 if "right" in ways else -1,
    }


RULES: Mapping[str, Callable[[Moments], Mapping[str, float] | None]] = {
    "CartPole": _cartpole,
    "LunarLander": _lander,
    "LunarLanderContinuous": _lander,
    "Pendulum": _pendulum,
    "snake": _snake,
    "Breakout": _breakout,
}
"""World to what its captions tell, in the quantities of its heuristic."""
