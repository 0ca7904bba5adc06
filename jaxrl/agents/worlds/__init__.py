"""What a stranger to an environment has to be told: its goal, its actions, what to look at.

An environment is recognised by its structure: by the quantities that it describes and by the kind
of its actions, so that a wrapped or renamed one is known as well. One that nobody has written a
`World` for can be played too: its actions then have numbers for names.

A heuristic is a plain function of the described quantities, the same that a model is told. It is a
baseline in every table, and in the tests the proof that the text holds what is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxrl import spaces
from jaxrl.agents.actions import Actions, numbered
from jaxrl.types import Array

Quantities = Mapping[str, Any]
"""Name to value, as `describe` gives them; arrays of any one shape, or plain numbers."""


class Mark(NamedTuple):
    """Something to be seen in a frame, at pixel `(x, y)` from the upper left corner."""

    label: str
    x: float
    y: float


class Ending(NamedTuple):
    """How an episode ended, in plain numbers.

    Attributes:
        last: quantities of its last state.
        total: its native return.
        length: steps.
        terminated: it ended by the environment's rules, not by a time limit.
    """

    last: Mapping[str, float]
    total: float
    length: int
    terminated: bool


class World(NamedTuple):
    """Words and rules for environments of one structure.

    Attributes:
        name: for error messages.
        needs: quantities that such an environment describes.
        goal: what is to be achieved.
        actions: what can be done.
        idle: what to do if nothing is decided: a choice, or all numbers of a continuous action.
        outcomes: all that `outcome` may say.
        outcome: how an episode ended, in a word.
        scores: further numbers of an episode's end, by name.
        facts: what follows from the quantities, in sentences.
        heuristic: `quantities -> action`, elementwise over any leading shape; None if nobody has
            written one.
        objects: `(quantities, height, width) -> marks`; None where places in the frame are not
            known.
        measure: `(state, params) -> quantities`, what the facts need beyond `describe`.
        cells: how many cells a side of the board has, where frames show a square one.
    """

    name: str
    needs: tuple[str, ...]
    goal: str
    actions: Actions
    idle: str | tuple[float, ...]
    outcomes: tuple[str, ...]
    outcome: Callable[[Ending], str]
    scores: Mapping[str, Callable[[Ending], float]] = {}
    facts: Callable[[Mapping[str, float]], list[str]] | None = None
    heuristic: Callable[[Quantities], Array] | None = None
    objects: Callable[[Mapping[str, float], int, int], list[Mark]] | None = None
    measure: Callable[[Any, Any], dict[str, Array]] | None = None
    cells: Callable[[Mapping[str, float]], int] | None = None


def timed_out_or_ended(end: Ending) -> str:
    """The outcome of a world of which nothing is known."""
    return "ended" if end.terminated else "out of time"


def world_of(env: Any, params: Any) -> World:
    """The world of an environment, or one with numbered actions and a goal of reward.

    Raises:
        SpaceError: actions that have no names (see `numbered`).
    """
    from jaxrl.agents.worlds.balance import ACROBOT, CARTPOLE, PENDULUM
    from jaxrl.agents.worlds.boards import BREAKOUT, SNAKE
    from jaxrl.agents.worlds.lander import LANDER, LANDER_CONTINUOUS

    space = env.action_space(params)
    described = set(getattr(env, "quantities", {}))
    for world in (CARTPOLE, ACROBOT, PENDULUM, LANDER, LANDER_CONTINUOUS, SNAKE, BREAKOUT):
        if described >= set(world.needs) and _fits(world.actions, space):
            return world
    actions = numbered(space)
    idle = actions.names[0] if actions.discrete else tuple(max(n.low, 0) for n in actions.numbers)
    return World(
        name="an environment without a description of its own",
        needs=(),
        goal="Collect as much reward as you can before the episode ends.",
        actions=actions,
        idle=idle,
        outcomes=("ended", "out of time"),
        outcome=timed_out_or_ended,
    )


def _fits(actions: Actions, space: Any) -> bool:
    if actions.discrete:
        return spaces.is_discrete(space) and spaces.num_actions(space) == len(actions.choices)
    return spaces.is_box(space) and tuple(space.shape) == (len(actions.numbers),)
