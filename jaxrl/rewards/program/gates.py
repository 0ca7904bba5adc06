"""The gates in front of training: what a program must show on stored steps.

==========  =====================================================================================
parse       the text is in the language, and can be evaluated on the schema's shapes
shape       the total is a number, and so is each component
finite      both are finite on every stored step; which are not is said, and by which line
constant    the total is not the same on all of them
ranking     the sum over a good stored trajectory is above that over a bad one, where both are given
duplicate   it is not a program that was there before, by its text or by its values
==========  =====================================================================================

By its values a program is another's duplicate if the totals on the stored steps differ by a
positive factor, as in EPIC (Gleave et al. 2021, arXiv:2006.13900) with Pearson's distance. A shift
is let through unless it is asked for: where episodes end early, it decides whether living on pays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrl.errors import ProgramError
from jaxrl.rewards.program.compiled import RewardProgram, compile_program
from jaxrl.rewards.program.interpret import TOTAL
from jaxrl.rewards.program.refusal import Refusal
from jaxrl.rewards.program.schema import Schema
from jaxrl.rewards.program.steps import Steps

SAME_DISTANCE = 1e-3
"""Distance of totals below which two programs count as one."""
SHOWN = 2
"""Steps that a refusal shows."""


class Ranking(NamedTuple):
    """Two trajectories, of which a reward must prefer the first."""

    good: Steps
    bad: Steps


class Verdict(NamedTuple):
    """What came of a program at the gates.

    Attributes:
        program: the program; None where its text was refused.
        refusals: why it is not to be trained; empty if it is.
        totals: its rewards on the stored steps, float64 `[N]`; None where there are none.
    """

    program: RewardProgram | None
    refusals: tuple[Refusal, ...]
    totals: np.ndarray | None

    @property
    def passed(self) -> bool:
        """Whether it may be trained."""
        return not self.refusals


def examine(
    source: str,
    schema: Schema,
    steps: Steps,
    *,
    known: Sequence[Verdict] = (),
    ranking: Ranking | None = None,
    up_to_shift: bool = False,
    parent: str | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Verdict:
    """Compiles a program and sends it through the gates; whatever it is, the verdict says it.

    Args:
        source: the text.
        schema: of the environment.
        steps: on which it is tried, see `steps.collect_steps`.
        known: verdicts on the same steps of those that it must differ from.
        ranking: trajectories that it must rank.
        up_to_shift: whether totals that differ by a constant are the same.
        parent, provenance: as in `compile_program`.
    """
    try:
        program = compile_program(source, schema, parent=parent, provenance=provenance)
    except ProgramError as error:
        return Verdict(None, error.refusals, None)
    total, components = rewards_of(program, steps)
    refusals = [_not_finite(program, steps, total, components), _constant(total)]
    if ranking is not None:
        refusals.append(_misranked(program, ranking))
    refusals.append(_duplicate(program, total, known, up_to_shift))
    return Verdict(program, tuple(r for r in refusals if r is not None), total)


def rewards_of(program: RewardProgram, steps: Steps) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Totals and components of stored steps, each float64 `[N]`."""
    # Operation by operation: a program that is tried once is not worth its compilation.
    given = jax.vmap(program)(*steps)
    return jax.tree.map(lambda x: np.asarray(x, np.float64), given)


def _not_finite(
    program: RewardProgram, steps: Steps, total: np.ndarray, components: dict[str, np.ndarray]
) -> Refusal | None:
    for name, values in {TOTAL: total, **components}.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if not len(bad):
            continue
        shown = "; ".join(steps.text(int(row), program.reads) for row in bad[:SHOWN])
        what = "the total" if name == TOTAL else f"component {name!r}"
        return Refusal(
            program.line_of_trouble(*steps.row(int(bad[0]))),
            f"{what} is {values[bad[0]]:g} on {len(bad)} of {steps.size} stored steps ({shown})",
            "keep what is divided by, or under a log, root or power, away from zero",
            "finite",
        )
    return None


def _constant(total: np.ndarray) -> Refusal | None:
    if not np.isfinite(total).all() or np.ptp(total) > 0:
        return None
    reason = f"the total is {total[0]:g} on all {len(total)} stored steps"
    return Refusal(None, reason, "let it depend on the state", "constant")


def _misranked(program: RewardProgram, ranking: Ranking) -> Refusal | None:
    good, bad = (rewards_of(program, steps)[0].sum() for steps in ranking)
    if good > bad:
        return None
    reason = (
        f"a good trajectory of {ranking.good.size} steps sums to {good:g}, a bad one of "
        f"{ranking.bad.size} steps to {bad:g}"
    )
    advice = "pay more for each step that goes well than for an episode that ends early"
    return Refusal(None, reason, advice, "ranking")


def _duplicate(
    program: RewardProgram, total: np.ndarray, known: Sequence[Verdict], up_to_shift: bool
) -> Refusal | None:
    advice = "write a reward that prefers other behaviour"
    for other in known:
        if other.program is None or other.totals is None:
            continue
        if other.program.id == program.id:
            return Refusal(None, f"this is program {program.id} again", advice, "duplicate")
        if distance(total, other.totals, up_to_shift=up_to_shift) < SAME_DISTANCE:
            shift = " and a shift" if up_to_shift else ""
            reason = f"up to a factor{shift} its rewards are those of program {other.program.id}"
            return Refusal(None, reason, advice, "duplicate")
    return None


def distance(a: np.ndarray, b: np.ndarray, *, up_to_shift: bool = True) -> float:
    """Distance of two rewards by their values `[N]` on the same steps, from 0 to 1.

    `sqrt((1 - ρ) / 2)`, ρ being Pearson's correlation (arXiv:2006.13900, definition 4.3), or the
    cosine of the angle between them unless `up_to_shift`. 1 where either is not finite or has no
    length.
    """
    if up_to_shift:
        a, b = a - a.mean(), b - b.mean()
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    if not (np.isfinite(lengths) and lengths > 0):
        return 1.0
    return float(np.sqrt(max(0.0, 1 - a @ b / lengths) / 2))
