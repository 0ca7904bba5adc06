"""The environment's own reward: the identity among reward sources."""

from __future__ import annotations

from jaxrl.types import Key, Metrics, RewardSource, Trajectory


def environment() -> RewardSource:
    """Leaves every trajectory as it was collected."""
    return RewardSource(
        name="environment", init=_nothing_to_keep, annotate=_as_collected, needs="nothing"
    )


def _nothing_to_keep(key: Key) -> tuple[()]:
    del key
    return ()


def _as_collected(
    state: tuple[()], trajectory: Trajectory
) -> tuple[tuple[()], Trajectory, Metrics]:
    return state, trajectory, {}
