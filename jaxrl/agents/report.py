"""The table of an agent beside its baselines, and what asking took."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxrl.agents.baselines import Scores
from jaxrl.agents.deciding import Decision
from jaxrl.agents.worlds import World
from jaxrl.stats import stratified_bootstrap_ci


def mean_and_interval(values: np.ndarray) -> tuple[float, float, float]:
    """The mean over episodes with its 95 % bootstrap interval."""
    low, high = stratified_bootstrap_ci(
        np.asarray(values, float),
        lambda sample: float(sample.mean()),
        rng=np.random.default_rng(0),
    )
    return float(np.mean(values)), low, high


def row(scores: Scores, world: World, reference: Mapping[str, Scores]) -> dict[str, Any]:
    """One player's numbers.

    Args:
        scores: its episodes.
        world: says how episodes ended, and what else is counted.
        reference: the players `random` and, where there is one, `trained`: between their means
            the normalised score goes from 0 to 1.
    """
    mean, low, high = mean_and_interval(scores.returns)
    found: dict[str, Any] = {
        "player": scores.name,
        "episodes": len(scores.returns),
        "return": mean,
        "ci95": [low, high],
        "normalised": _normalised(mean, reference),
        "steps": float(scores.lengths.mean()),
    }
    for name, score in world.scores.items():
        values = np.array([score(ending) for ending in scores.endings])
        mean, low, high = mean_and_interval(values)
        found[name] = {"mean": mean, "ci95": [low, high], "most": float(values.max())}
    outcomes = [world.outcome(ending) for ending in scores.endings]
    found["outcomes"] = {name: outcomes.count(name) / len(outcomes) for name in world.outcomes}
    return found


def _normalised(mean: float, reference: Mapping[str, Scores]) -> float | None:
    """0 at random, 1 at the trained policy; None where one is missing or they are the same."""
    if not {"random", "trained"} <= set(reference):
        return None
    low, high = (float(reference[name].returns.mean()) for name in ("random", "trained"))
    return None if high == low else (mean - low) / (high - low)


@dataclasses.dataclass
class Asked:
    """What asking took, over all episodes.

    Attributes:
        decisions: how many there were.
        invalid: share whose first answer was no action.
        repaired: share that a second answer mended.
        fallback: share that fell back.
        failed: share without any answer (refused, timed out, lost on the way).
        copied: share of answers that are an example's, word for word.
        seconds: mean latency of what was asked and not found in the store; None if nothing was.
        input_tokens, output_tokens: of all, as if nothing had been in the store.
        dollars: spent in this process; None where nobody knows the model's prices.
        dollars_per_episode: what its tokens cost, as if nothing had been in the store.
        calls, cached, repeated: what went to the model, what the store answered, and what was
            the same as another lane's question.
        episodes: how many there were.
    """

    decisions: int
    invalid: float
    repaired: float
    fallback: float
    failed: float
    copied: float
    seconds: float | None
    input_tokens: int
    output_tokens: int
    dollars: float | None
    dollars_per_episode: float | None
    calls: int
    cached: int
    repeated: int
    episodes: int

    @classmethod
    def of(cls, decisions: Sequence[Decision], counts: Any, episodes: int) -> Asked:
        """What the decisions of these episodes took; `counts` are the asker's."""
        share = _share(decisions)
        fresh = [a.seconds for d in decisions for a in d.answers if not a.cached]
        tokens = [d.tokens for d in decisions]
        cost = [d.dollars for d in decisions if d.dollars is not None]
        return cls(
            decisions=len(decisions),
            invalid=share(lambda d: d.invalid),
            repaired=share(lambda d: d.invalid and not d.fallback),
            fallback=share(lambda d: d.fallback),
            failed=share(lambda d: d.unanswered),
            copied=share(lambda d: d.copied),
            seconds=float(np.mean(fresh)) if fresh else None,
            input_tokens=sum(i for i, _ in tokens),
            output_tokens=sum(o for _, o in tokens),
            dollars=counts.dollars,
            dollars_per_episode=sum(cost) / episodes if len(cost) == len(decisions) else None,
            calls=counts.calls,
            cached=counts.cached,
            repeated=counts.repeated,
            episodes=episodes,
        )

    def lines(self) -> list[str]:
        """In words, for the terminal."""
        cost = "cost not known" if self.dollars is None else f"${self.dollars:.4f} spent"
        worth = self.dollars_per_episode
        shared = f", {self.repeated} shared by lanes" if self.repeated else ""
        latency = "" if self.seconds is None else f", {1000 * self.seconds:.0f} ms each"
        return [
            f"{self.decisions} decisions, {self.decisions / self.episodes:.1f} an episode{latency}"
            f"; {self.calls} calls, {self.cached} answers from the store{shared}; {cost}",
            f"invalid {self.invalid:.1%} (mended {self.repaired:.1%}, fell back "
            f"{self.fallback:.1%}, of which unanswered {self.failed:.1%}), copied from an example "
            f"{self.copied:.1%}",
            f"tokens an episode: {self.input_tokens / self.episodes:.0f} in, "
            f"{self.output_tokens / self.episodes:.0f} out"
            + ("" if worth is None else f", worth ${worth:.4f}"),
        ]


def _share(decisions: Sequence[Decision]) -> Any:
    count = max(len(decisions), 1)
    return lambda test: sum(map(bool, map(test, decisions))) / count


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a Markdown table that also reads well in a terminal."""
    extras = [
        name for name, value in rows[0].items() if isinstance(value, dict) and "mean" in value
    ]
    outcomes = list(rows[0]["outcomes"])
    head = ["player", "return", "95 % interval", "normalised", "steps", *extras, *outcomes]
    body = [head]
    for one in rows:
        low, high = one["ci95"]
        normalised = one["normalised"]
        body.append(
            [
                one["player"],
                f"{one['return']:.1f}",
                f"[{low:.1f}, {high:.1f}]",
                "–" if normalised is None else f"{normalised:.2f}",
                f"{one['steps']:.0f}",
                *(f"{one[name]['mean']:.1f} (≤ {one[name]['most']:.0f})" for name in extras),
                *(f"{one['outcomes'][name]:.0%}" for name in outcomes),
            ]
        )
    widths = [max(len(line[i]) for line in body) for i in range(len(head))]
    body.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in body
    )
