"""Decisions per second of an agent whose model answers in 100 ms, at 1, 16 and 64 lanes.

Two ways to that model, with as many calls at once as there are lanes and a store behind each:

- `stand-in` sleeps in the threads in which calls are made: what jaxrl itself costs, from prompts
  and pictures over asking, storing and reading to the environment's step;
- `openai` is the client of OpenAI's protocol on a server in a process of its own: with what a call
  over HTTP costs on top, some tenths of a millisecond of one core.

What is told is the median over decisions of a step's wall-clock: everything between one question
and the next. The numbers of lanes take turns, so that a noisy machine is noisy for all.

    python benchmarks/vlm_agent.py
    python benchmarks/vlm_agent.py --client stand-in --observe text --rounds 1

Lines go to `benchmarks/results/vlm_agent.jsonl`, the table to `benchmarks/README.md`. A step at 64
lanes is to take at most 1.5 times as long as at one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import ipaddress
import itertools
import json
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from report import write_report
from throughput import commit

import jaxrl
from jaxrl.agents import AgentConfig, vlm_agent
from jaxrl.evaluation import evaluation_key
from jaxrl.run.machine import machine
from jaxrl.vlm.asker import Asker
from jaxrl.vlm.client import Sampling
from jaxrl.vlm.messages import Ok, Prompt
from jaxrl.vlm.openai import OpenAIClient
from jaxrl.vlm.transport import Transport

RESULTS = Path(__file__).parent / "results" / "vlm_agent.jsonl"
HOST = str(ipaddress.IPv4Address(socket.INADDR_LOOPBACK))


async def answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, latency: float
) -> None:
    """Answers the chat requests of one connection: waits, then keeps the pole up for a while."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length:")[2].partition("\r\n")[0])
            body = await reader.readexactly(length)
            await asyncio.sleep(latency)
            raw = json.dumps(reply(b"pole_angular_velocity: -" in body)).encode()
            headers = f"Content-Type: application/json\r\nContent-Length: {len(raw)}"
            writer.write(f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode() + raw)
            await writer.drain()
    writer.close()


def said(falls_left: bool) -> str:
    """What the model says, either way."""
    return f"'push {'left' if falls_left else 'right'}'"


def reply(falls_left: bool) -> dict[str, Any]:
    """An answer in OpenAI's protocol."""
    message = {"role": "assistant", "content": said(falls_left)}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "fake",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def serve(latency: float, ports: Any) -> None:
    """A server for ever, of as many calls at once as come; says its port first."""

    async def run() -> None:
        server = await asyncio.start_server(
            functools.partial(answer, latency=latency), HOST, 0, backlog=256, limit=2**22
        )
        ports.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@contextlib.contextmanager
def served(latency: float) -> Iterator[str]:
    """The URL of a server in a process of its own."""
    # A process, for a thread would share the interpreter that the client has to answer with.
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(latency, there), daemon=True)
    process.start()
    try:
        yield f"http://{HOST}:{here.recv()}/v1"
    finally:
        process.terminate()
        process.join()


class StandIn:
    """A client that sleeps and answers, in the threads in which others call their servers."""

    def __init__(self, latency: float, concurrency: int) -> None:
        self.model, self.sampling, self.latency = "stand-in", Sampling(), latency
        self.transport = Transport(self.send, concurrency=concurrency)
        self.ask, self.close = self.transport.ask, self.transport.close

    def send(self, prompt: Prompt, seconds: float) -> Ok:
        """One call."""
        time.sleep(self.latency)
        return Ok(said("pole_angular_velocity: -" in prompt.turns[-1].text))


class Timed(Asker):
    """Notes when each batch was asked, and how large it was."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.batches: list[tuple[float, int]] = []

    def ask(self, prompts: Any) -> Any:
        """As its base."""
        self.batches.append((time.perf_counter(), len(prompts)))
        return super().ask(prompts)


class Contestant:
    """An agent with so many lanes, in one way of observing; it plays when its turn comes."""

    def __init__(self, client: Any, store: Path, lanes: int, config: AgentConfig) -> None:
        self.lanes = lanes
        env, self.params = jaxrl.make("CartPole-v1")
        self.asker = Timed(client, store=store, timeout=30.0)
        self.agent = vlm_agent(env, self.asker, config)

    def play(self, steps: int, seed: int) -> list[float]:
        """Seconds of the steps in which all lanes ran; with an old `seed` nothing is asked."""
        self.asker.batches.clear()
        key = evaluation_key(seed)
        self.agent.play(self.params, key, num_episodes=self.lanes, max_steps=steps)
        return [
            after - before
            for (before, size), (after, _) in itertools.pairwise(self.asker.batches)
            if size == self.lanes
        ]


def measure(
    name: str, observe: Any, url: str, folder: Path, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """One row for each number of lanes, of one client and one way of observing."""
    config = AgentConfig(observe=observe, height=options.height, width=options.width)

    def contestant(lanes: int) -> Contestant:
        client: Any = StandIn(options.latency, lanes)
        if name == "openai":
            client = OpenAIClient("fake", base_url=url, concurrency=lanes)
        return Contestant(client, folder / f"{name}-{observe}-{lanes}.sqlite", lanes, config)

    contestants = [contestant(lanes) for lanes in options.lanes]
    seconds: dict[int, list[float]] = {lanes: [] for lanes in options.lanes}
    for one in contestants:
        one.play(2, seed=options.rounds)  # compiles, and opens the connections
    for turn in range(options.rounds):
        for one in contestants:
            seconds[one.lanes] += one.play(options.steps, seed=turn)
    for one in contestants:
        one.asker.close()
    first = statistics.median(seconds[options.lanes[0]])
    rows = []
    for lanes, taken in seconds.items():
        step = statistics.median(taken)
        row = {
            "client": name,
            "observe": observe,
            "lanes": lanes,
            "seconds_per_step": step,
            "decisions_per_second": lanes / step,
            "times_one_lane": step / first,
            "steps_measured": len(taken),
        }
        rows.append(row)
        print(
            f"{name:8} {observe:4} {lanes:>3} lanes: {1000 * step:.0f} ms a step, "
            f"{lanes / step:.0f} decisions a second, {step / first:.2f} times the first's step",
            flush=True,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lanes", type=int, nargs="+", default=[1, 16, 64])
    clients = ("stand-in", "openai")
    parser.add_argument("--client", nargs="+", choices=clients, default=list(clients))
    parser.add_argument("--observe", nargs="+", choices=("text", "both"), default=["text", "both"])
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency", type=float, default=0.1, help="seconds a call")
    parser.add_argument("--height", type=int, default=100)
    parser.add_argument("--width", type=int, default=150)
    options = parser.parse_args()
    os.environ.setdefault("OPENAI_API_KEY", "none-is-needed-here")
    with served(options.latency) as url, tempfile.TemporaryDirectory() as folder:
        rows = [
            row
            for name in options.client
            for observe in options.observe
            for row in measure(name, observe, url, Path(folder), options)
        ]
    about = {
        "run": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "date": date.today().isoformat(),
        "commit": commit(),
        "latency": options.latency,
        "height": options.height,
        "width": options.width,
        "machine": machine(),
    }
    with RESULTS.open("a") as file:
        file.writelines(json.dumps({**row, **about}) + "\n" for row in rows)
    write_report()


if __name__ == "__main__":
    main()
