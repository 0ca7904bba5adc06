"""What a model in the loop costs in time: none, callback, lagged, model, and the paper's way.

A DQN on LunarLander-v3 with 64 environments, whose reward asks a model that takes 150 ms for every
call and answers eight at a time (`--concurrency`): a stand-in that sleeps, and then says how bright
the frame is. All ways train the same number of updates in one process, one after the other in every
round, so that a noisy machine is noisy for all; what counts are medians over rounds, and ratios to
the run without a model. Compiling is not in it. `callback` waits for the model, which cannot be
spared: it is held against the run without a model and the waiting together.

`paper` is ActionVLM's way: every step of every environment, one frame a call, each waited for. At
the size of the others it would take hours: it trains few updates (`--paper-updates`), and its time
for as many as they do is worked out from those (`extrapolated` in its lines).

    python benchmarks/vlm_overhead.py --updates 500 --rounds 3

Decisions per second of a model as the agent are measured by `vlm_agent.py`.

Lines go to `benchmarks/results/vlm_overhead.jsonl`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from throughput import commit

import jaxrl
from jaxrl import rewards
from jaxrl.algorithms.dqn import DQNConfig, dqn
from jaxrl.run.machine import machine
from jaxrl.training import train
from jaxrl.types import RewardSource
from jaxrl.vlm.asker import Asker
from jaxrl.vlm.client import OnOutcome, Sampling
from jaxrl.vlm.messages import Ok, Outcome, Prompt

RESULTS = Path(__file__).parent / "results" / "vlm_overhead.jsonl"
TARGET = 1.2
WAYS = ("none", "callback", "lagged", "model", "paper")


class Sleeper:
    """A client that takes its time: `seconds` a call, `concurrency` calls at once."""

    def __init__(self, seconds: float, concurrency: int) -> None:
        self.model, self.sampling, self.seconds = "sleeper", Sampling(), seconds
        self.threads = ThreadPoolExecutor(concurrency)
        self.waits: list[float] = []
        self.lock = threading.Lock()

    def ask(
        self, prompts: Sequence[Prompt], *, timeout: float, on_outcome: OnOutcome | None = None
    ) -> list[Outcome]:
        """See `jaxrl.vlm.client.Client`."""
        began = time.perf_counter()
        outcomes = list(self.threads.map(self._one, prompts))
        for index, outcome in enumerate(outcomes):
            if on_outcome is not None:
                on_outcome(index, outcome)
        with self.lock:
            self.waits.append(time.perf_counter() - began)
        return outcomes

    def _one(self, prompt: Prompt) -> Outcome:
        time.sleep(self.seconds)
        return Ok(f"{np.mean(prompt.turns[-1].images[0].to_array()) - 240:.4f}")

    def close(self) -> None:
        """Lets go of the threads."""
        self.threads.shutdown()


class OneByOne(Sleeper):
    """The same, asked as the paper's script asks: a frame a call, one after the other."""

    def ask(
        self, prompts: Sequence[Prompt], *, timeout: float, on_outcome: OnOutcome | None = None
    ) -> list[Outcome]:
        """See `jaxrl.vlm.client.Client`."""
        asked = [super(OneByOne, self).ask([p], timeout=timeout) for p in prompts]
        return [outcome for (outcome,) in asked]


@dataclasses.dataclass(frozen=True)
class Brightness:
    """A prompt that is always the same, and the parser of its answers."""

    name: str = "brightness"
    digest: str = "0"
    parser: str = "number"
    needs: tuple[str, ...] = ()
    images: int = 1
    schema: None = None

    def render(self, **given: Any) -> tuple[str, str]:
        """System text and text."""
        return "", "How bright is the picture?"

    def __call__(self, text: str, prompt_text: str = "") -> Any:
        """The number that the answer is."""
        return Read(float(text), True)


@dataclasses.dataclass(frozen=True)
class Read:
    """What an answer says."""

    value: float
    ok: bool
    fired: tuple[str, ...] = ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--updates", type=int, default=500)
    parser.add_argument("--paper-updates", type=int, default=1)
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--num-steps", type=int, default=4)
    parser.add_argument("--latency", type=float, default=0.150, help="seconds a call")
    parser.add_argument("--concurrency", type=int, default=8, help="calls at once")
    parser.add_argument("--num-labels", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    args = parser.parse_args()
    run = time.strftime("%Y-%m-%dT%H:%M:%S")
    about = {"run": run, "date": str(date.today()), "commit": commit(), "machine": machine()}
    rows: list[dict[str, Any]] = []
    for turn in range(args.rounds):
        for way in args.ways:
            if way == "paper" and turn > 0:
                continue  # two orders of magnitude behind: once is enough
            rows.append({"way": way, **measured(way, args), **vars(args), **about})
            with RESULTS.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(f"{way:9} {rows[-1]['seconds']:9.2f} s", flush=True)
    report(rows)


def measured(way: str, args: argparse.Namespace) -> dict[str, Any]:
    """One run: seconds of training without compiling, and how long the client was waited for."""
    kind = OneByOne if way == "paper" else Sleeper
    client = kind(args.latency, args.concurrency)
    asker = Asker(client, timeout=3600.0)
    env, env_params = jaxrl.make("LunarLander-v3")
    config = DQNConfig(
        num_envs=args.num_envs,
        num_steps=args.num_steps,
        buffer_size=50_000,
        batch_size=128,
        replay_ratio=1 / 16,
        learning_starts=0,
    )
    updates = args.paper_updates if way == "paper" else args.updates
    result = train(
        dqn(env, config),
        env_params,
        total_steps=updates * args.num_envs * args.num_steps,
        reward=source(way, env, asker, args),
        eval_episodes=0,
    )
    asker.close()
    scale = args.updates / updates
    labelled = [p.metrics.get("vlm/labelled", np.full(1, np.nan)) for p in result.history]
    return {
        "seconds": result.train_seconds * scale,
        "extrapolated": scale != 1,
        "calls": asker.counts.calls,
        "waited": sum(client.waits) * scale if way in ("callback", "paper") else 0.0,
        "labelled": float(np.nanmean(labelled)) if np.isfinite(labelled).any() else None,
    }


def source(way: str, env: Any, asker: Asker, args: argparse.Namespace) -> RewardSource | None:
    """The reward source of one way of asking."""
    if way == "none":
        return None
    settings: dict[str, Any] = dict(
        callback={},
        lagged=dict(mode="lagged", lag=64),
        model=dict(mode="model", num_labels=args.num_labels),
        paper=dict(frames="every"),
    )[way]
    asks = Brightness()
    judged = rewards.vlm(env, asker, asks, asks, size=(200, 300), say=lambda text: None, **settings)
    return rewards.mixture(rewards.environment(), judged, 0.15)


def report(rows: list[dict[str, Any]]) -> None:
    """Medians, ratios to the run without a model, and whether the targets hold."""
    ways = list(dict.fromkeys(row["way"] for row in rows))

    def median(way: str, field: str) -> float:
        return statistics.median(row[field] for row in rows if row["way"] == way)

    if "none" not in ways:
        return
    none = median("none", "seconds")
    for way in ways:
        seconds = median(way, "seconds")
        # What cannot be spared: the training itself, and the answers where they are waited for.
        least = none + median(way, "waited")
        held = "" if way in ("none", "paper") else f"(to be within {TARGET})"
        print(
            f"{way:9} {seconds:10.2f} s  {seconds / none:8.2f} x none  "
            f"{seconds / least:5.2f} x what it must take {held}  {median(way, 'calls'):6.0f} calls"
        )


if __name__ == "__main__":
    main()
