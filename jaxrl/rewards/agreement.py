"""How well what was read goes along with the truth, on the host: correlations, errors, monotony."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Sequence

import numpy as np


NEAR_ZERO = 0.02
"""Up to this share of the largest truth, a truth is next to 0."""


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Numbers of one probe; None where one cannot be computed, for the reason in `missing`.

    Attributes:
        spearman: rank correlation of readings and truth, ties sharing their ranks.
        pearson: linear correlation.
        sign_accuracy: share of states, those with a truth next to 0 left out, whose reading has
            its sign.
        mean_absolute_error: in the truth's unit.
        epic: EPIC distance of the readings from the truth, both taken as rewards, 0 to 1.
        missing: name of a number to why there is none.
    """

    spearman: float | None
    pearson: float | None
    sign_accuracy: float | None
    mean_absolute_error: float | None
    epic: float | None
    missing: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Monotony:
    """How much answers repeat themselves.

    Attributes:
        commonest: the answer that came most often.
        share: its share of all answers.
        entropy: of the distribution of answers, bits.
    """

    commonest: str
    share: float
    entropy: float


def spearman(x: np.ndarray, y: np.ndarray) -> float | None:
    """Spearman's rank correlation; None where one of them does not vary."""
    return pearson(ranks(x), ranks(y))


def pearson(x: np.ndarray, y: np.ndarray) -> float | None:
    """Pearson's correlation; None where one of them does not vary."""
    dx, dy = x - x.mean(), y - y.mean()
    spread = math.sqrt(float((dx**2).sum() * (dy**2).sum()))
    return None if spread < 1e-12 else float(np.clip((dx * dy).sum() / spread, -1.0, 1.0))


def ranks(x: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, group, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[group]


def epic_distance(correlation: float) -> float:
    """EPIC distance of two rewards that depend on the state arrived in alone.

    Gleave et al. 2021, "Quantifying differences in reward functions", arXiv:2006.13900: the
    Pearson distance `sqrt((1 - ρ) / 2)` of canonically shaped rewards. Canonical shaping, with
    states drawn independently, takes from such a reward its mean and no more, which ρ does not
    see; so it is that of the rewards themselves.
    """
    return math.sqrt((1 - correlation) / 2)


def agreement(
    reading: np.ndarray, truth: np.ndarray, *, same_unit: bool, signed: bool
) -> Agreement:
    """Compares readings with the truth, `[N]` each, of the states whose answers could be read.

    Args:
        reading: what was read.
        truth: what was so; negated already where the reading should fall with it.
        same_unit: whether both are in one unit, so that their difference means something.
        signed: whether a reading's sign means something.
    """
    missing: dict[str, str] = {}
    rank = linear = None
    if len(reading) < 3:
        missing |= dict.fromkeys(("spearman", "pearson"), "fewer than 3 answers could be read")
    else:
        rank, linear = spearman(reading, truth), pearson(reading, truth)
        if linear is None:
            what = "readings do" if np.ptp(truth) > 0 else "truth does"
            missing |= dict.fromkeys(("spearman", "pearson"), f"the {what} not vary")
    if linear is None:
        missing["epic"] = missing["pearson"]
    sign, error = None, None
    # Next to 0 a sign is a matter of rounding, the answer's or the state's.
    decided = np.abs(truth) > NEAR_ZERO * np.abs(truth).max(initial=0.0)
    if not signed:
        missing["sign_accuracy"] = "readings have no sign"
    elif not decided.any():
        missing["sign_accuracy"] = "no state with a sign could be read"
    else:
        sign = float((np.sign(reading) == np.sign(truth))[decided].mean())
    if not same_unit:
        missing["mean_absolute_error"] = "readings and truth are not in one unit"
    elif not len(reading):
        missing["mean_absolute_error"] = "no answer could be read"
    else:
        error = float(np.abs(reading - truth).mean())
    epic = None if linear is None else epic_distance(linear)
    return Agreement(rank, linear, sign, error, epic, missing)


def monotony(answers: Sequence[str]) -> Monotony:
    """How much answers repeat themselves; at least one is needed."""
    counts = collections.Counter(answers)
    commonest, times = counts.most_common(1)[0]
    shares = np.array(list(counts.values())) / len(answers)
    # `abs`, because the entropy of one answer would be printed as -0.
    return Monotony(commonest, times / len(answers), abs(float(-(shares * np.log2(shares)).sum())))
