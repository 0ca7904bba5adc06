"""What can be said of a scene's facts: sentences, and how near the picture is to what is asked."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Aspect:
    """One respect in which a picture can be near to a goal.

    Attributes:
        words: beginnings of words; a question that has one of them is about this.
        near: 0 to 1, where 1 is reached; None where the picture does not show it.
        reached: what a yes or no is about.
        asked_only: left out of scores and comparisons: a yes or no and nothing between.
    """

    words: tuple[str, ...]
    near: float | None
    reached: bool
    asked_only: bool = False


@dataclasses.dataclass(frozen=True)
class Caption:
    """What there is to say about a picture.

    Attributes:
        sentences: in the order in which they are said; the first `brief` are the short version.
        brief: see there.
        tilt: degrees, positive to the right, where something in the scene has a tilt.
        tilted: what has it, to begin a sentence with: "The pole leans".
        aspects: see `Aspect`.
    """

    sentences: tuple[str, ...]
    brief: int
    aspects: tuple[Aspect, ...]
    tilt: float | None = None
    tilted: str = ""

    @property
    def text(self) -> str:
        """All sentences."""
        return " ".join(self.sentences)

    def tilt_sentence(self, *, whole: bool = False) -> str:
        """The tilt alone, `whole` to the nearest whole degree."""
        return lean(self.tilted, self.tilt, whole=whole)


def lean(subject: str, tilt: float | None, *, whole: bool = False) -> str:
    """A sentence of a tilt in degrees, positive to the right; None where it is not to be seen."""
    if tilt is None:
        return "Too little of it is in the picture to tell its tilt."
    size = f"{abs(tilt):.{0 if whole else 1}f}"
    if float(size) == 0:
        return f"{subject} to neither side: {size} degrees."
    return f"{subject} to the {side(tilt)} by {size} degrees."


def side(number: float) -> str:
    """The side of a number that is positive to the right."""
    return "right" if number > 0 else "left"


def closeness(distance: float | None, far: float) -> float | None:
    """1 at no distance, 0 from `far` on; None of None."""
    return None if distance is None else max(0.0, 1.0 - abs(distance) / far)


def count(number: int, thing: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
