"""What a model in the loop costs in time: none, callback, lagged, model, and the paper's way.

A DQN on LunarLander-v3 and 64 environments, whose reward asks a model that takes 150 ms for every
call and answers eight at a time (`--concurrency`): a stand-in that sleeps, and then says a number
that depends on the frame. Network, targets and solver are those with which DQN learns to land in a
million steps; by default three eighths of those are run. With a smaller network, or in fewer
updates, the same questions and the same labels are a larger share of the time.

Every way is compiled once, as one program, and then runs once a round, all from the same key; the
ways take turns, so that a noisy machine is noisy for all. What counts are ratios to the run without
a model, and medians over rounds. Compiling is not in it. `callback` waits for the model, which
cannot be spared: it is held against the run without a model and the waiting together.

`paper` is ActionVLM's way: every step of every environment, one frame a call, each waited for. At
the size of the others it would take hours. It and `callback` train fewer updates
(`--paper-updates`, `--callback-updates`), and their figures are scaled to as many as the others do
(`trained` and `updates` in their lines).

    python benchmarks/vlm_overhead.py
    python benchmarks/vlm_overhead.py --updates 40 --rounds 1 --ways none lagged

Decisions per second of a model as the agent are measured by `vlm_agent.py`.

Lines go to `benchmarks/results/vlm_overhead.jsonl`, the table to `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import jax
import numpy as np
from report import overhead, write_report
from throughput import commit

import jaxrl
from jaxrl import rewards
from jaxrl.algorithms.dqn import DQNConfig, dqn
from jaxrl.run.machine import machine
from jaxrl.types import RewardSource
from jaxrl.update import make_train
from jaxrl.vlm.asker import Asker
from jaxrl.vlm.client import OnOutcome, Sampling
from jaxrl.vlm.messages import Ok, Outcome, Prompt

RESULTS = Path(__file__).parent / "results" / "vlm_overhead.jsonl"
KEY = jax.random.key(0)
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
        return Ok(f"{int(prompt.turns[-1].images[0].digest[:4], 16) / 0xFFFF:.4f}")

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
    """A prompt that is always the same, and the parser of its answers, which are numbers."""

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
    parser.add_argument("--updates", type=int, default=1500)
    parser.add_argument("--callback-updates", type=int, default=60)
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
    ways = dict.fromkeys(("none", *args.ways))
    with ThreadPoolExecutor(2) as compilers:  # a compiler alone leaves half a core idle
        contestants = list(compilers.map(lambda way: Contestant(way, args), ways))
    rows: list[dict[str, Any]] = []
    for turn in range(args.rounds):
        for contestant in contestants:
            if contestant.way == "paper" and turn > 0:
                continue  # two orders of magnitude behind: once is enough
            rows.append({"round": turn, **contestant.run(), **vars(args), **about})
            print(f"{contestant.way:9} {rows[-1]['seconds']:9.2f} s", flush=True)
    for contestant in contestants:
        contestant.asker.close()
    with RESULTS.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    write_report()
    print(overhead(rows))


class Contestant:
    """One way of asking, compiled.

    Attributes:
        way: its name.
        asker: who it asks.
    """

    def __init__(self, way: str, args: argparse.Namespace) -> None:
        self.way, self.updates = way, args.updates
        fewer = {"callback": args.callback_updates, "paper": args.paper_updates}
        self.trained = min(fewer.get(way, args.updates), args.updates)
        kind = OneByOne if way == "paper" else Sleeper
        self.client = kind(args.latency, args.concurrency)
        self.asker = Asker(self.client, timeout=3600.0)
        env, env_params = jaxrl.make("LunarLander-v3", solver="fast")
        self.source = source(way, env, self.asker, args)
        config = DQNConfig(
            num_envs=args.num_envs,
            num_steps=args.num_steps,
            buffer_size=250_000,
            replay_ratio=1 / 16,
            learning_starts=0,  # every update costs the same
            n_step=3,
            target_period=1,
            tau=0.005,
            hidden_sizes=(128, 128),
            layer_norm=True,
        )
        steps = self.trained * args.num_envs * args.num_steps
        train = make_train(dqn(env, config), steps, reward=self.source, num_points=1)
        self.train: Callable[..., Any] = jax.jit(train).lower(KEY, env_params).compile()
        self.env_params = env_params
        print(f"{way:9} compiled", flush=True)

    def run(self) -> dict[str, Any]:
        """One whole training: its seconds, and for how many of them the client was waited for."""
        if self.source is not None and self.source.listener is not None:
            self.source.listener.judge.renew()  # what the last round still waited for
        calls = self.asker.counts.calls
        self.client.waits.clear()
        began = time.perf_counter()
        _, curves = jax.block_until_ready(self.train(KEY, self.env_params))
        seconds = time.perf_counter() - began
        scale = self.updates / self.trained
        waits = self.way in ("callback", "paper")
        labelled = float(curves["vlm/labelled"][-1]) if "vlm/labelled" in curves else np.nan
        return {
            "way": self.way,
            "seconds": seconds * scale,
            "waited": sum(self.client.waits) * scale if waits else 0.0,
            "trained": self.trained,
            "calls": round((self.asker.counts.calls - calls) * scale),
            "labelled": labelled if np.isfinite(labelled) else None,
        }


def source(way: str, env: Any, asker: Asker, args: argparse.Namespace) -> RewardSource | None:
    """The reward source of one way of asking."""
    if way == "none":
        return None
    settings: dict[str, Any] = dict(
        callback={},
        lagged=dict(mode="lagged", lag=32, max_waiting=64),
        model=dict(mode="model", num_labels=args.num_labels),
        paper=dict(frames="every"),
    )[way]
    asks = Brightness()
    judged = rewards.vlm(env, asker, asks, asks, size=(200, 300), say=lambda text: None, **settings)
    return rewards.mixture(rewards.environment(), judged, 0.15)


if __name__ == "__main__":
    main()
