"""How much work goes into one step."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Solver(NamedTuple):
    """Iterations of the solver, all of them static.

    Attributes:
        velocity_iterations: of joints and contacts.
        position_iterations: at most; it stops by itself where everything is in place.
        folded_motor: solve motors together with their joints instead of in turn.
        impacts: how often in one step a leg may be stopped at the ground (Box2D's continuous
            collision); 0 leaves fast legs to sink in for a step.
    """

    velocity_iterations: int
    position_iterations: int
    folded_motor: bool
    impacts: int


SolverName = Literal["exact", "fast"]

SOLVERS: dict[str, Solver] = {
    # Box2D's own 180 velocity iterations. Of its 60 position iterations 3 were ever needed, and
    # of its 8 impacts 2.
    "exact": Solver(velocity_iterations=180, position_iterations=4, folded_motor=False, impacts=2),
    "fast": Solver(velocity_iterations=30, position_iterations=4, folded_motor=True, impacts=0),
}
BOX2D_VELOCITY_ITERATIONS = 180
