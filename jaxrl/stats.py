"""Statistics of scores over runs, on the host: what may be said from a handful of seeds.

After Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice",
arXiv:2108.13264. Scores are `[runs, tasks]`; one task is one column.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jaxrl.errors import ConfigError


def iqm(scores: np.ndarray) -> float:
    """Interquartile mean: the mean of what is left without the lowest and highest quarter.

    A quarter is rounded down, as in `scipy.stats.trim_mean(scores, 0.25)`; under 4 scores it is
    the mean.

    Raises:
        ConfigError: no scores, or one that is NaN.
    """
    flat = np.sort(_checked(scores).ravel())
    cut = flat.size // 4
    return float(flat[cut : flat.size - cut].mean())


def stratified_bootstrap_ci(
    scores: np.ndarray,
    statistic: Callable[[np.ndarray], float] = iqm,
    *,
    rng: np.random.Generator,
    reps: int = 2000,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval, runs drawn with replacement within each task.

    Args:
        scores: `[runs, tasks]` or `[runs]`. With one run there is nothing to resample, and the
            interval is that run's own point.
        statistic: of a resampled `[runs, tasks]`.
        rng: the generator to draw from; the same one gives the same interval.
        reps: resamples.
        confidence: share of resampled statistics that lie within.

    Returns:
        `(low, high)`.

    Raises:
        ConfigError: no scores, a NaN, or a confidence outside (0, 1).
    """
    table = _checked(scores)
    table = table[:, None] if table.ndim == 1 else table
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence={confidence}: needed is a number in (0, 1), such as 0.95.")
    runs, tasks = table.shape
    rows = rng.integers(0, runs, (reps, runs, tasks))
    columns = np.broadcast_to(np.arange(tasks), rows.shape)
    values = [statistic(sample) for sample in table[rows, columns]]
    tail = 50 * (1 - confidence)
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def probability_of_improvement(x: np.ndarray, y: np.ndarray) -> float:
    """How likely a run of `x` beats one of `y`, ties counting half, averaged over tasks.

    The Mann-Whitney statistic of each task; `[runs, tasks]` or `[runs]` each.

    Raises:
        ConfigError: no scores, a NaN, or different numbers of tasks.
    """
    a, b = (s[:, None] if s.ndim == 1 else s for s in (_checked(x), _checked(y)))
    if a.shape[1] != b.shape[1]:
        raise ConfigError(f"x has {a.shape[1]} tasks and y {b.shape[1]}: compare the same tasks.")
    wins = (a[:, None] > b[None]).mean(axis=(0, 1))
    ties = (a[:, None] == b[None]).mean(axis=(0, 1))
    return float((wins + 0.5 * ties).mean())


def _checked(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    if scores.size == 0:
        raise ConfigError("no scores: give at least one run.")
    if np.isnan(scores).any():
        raise ConfigError("a score is NaN: leave out runs without one, and say how many.")
    return scores
