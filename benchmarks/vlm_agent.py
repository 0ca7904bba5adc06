"""Decisions per second of an agent whose model answers in 100 ms, at 1, 16 and 64 lanes.

A server in this process speaks the OpenAI chat protocol over HTTP, sleeps for the latency and
answers. The client is the real SDK, with as many calls at once as there are lanes. What is told is
the median over decisions of a step's wall-clock: everything between one question and the next,
prompts, pictures and the environment's step included.

    python benchmarks/vlm_agent.py
    python benchmarks/vlm_agent.py --observe both --height 100 --width 150

Lines go to `benchmarks/results/vlm_agent.jsonl`. The text alone has to cost at most 1.5 times a
lane's wall-clock at 64 lanes.
"""

from __future__ import annotations

import argparse
import http.server
import ipaddress
import json
import os
import socket
import statistics
import threading
import time
from datetime import date
from pathlib import Path
from typing import Any

import jaxrl
from jaxrl.agents import AgentConfig, vlm_agent
from jaxrl.evaluation import evaluation_key
from jaxrl.run.machine import machine
from jaxrl.vlm.asker import Asker
from jaxrl.vlm.openai import OpenAIClient

RESULTS = Path(__file__).parent / "results" / "vlm_agent.jsonl"
HOST = str(ipaddress.IPv4Address(socket.INADDR_LOOPBACK))
ALLOWED = 1.5
"""Times the wall-clock of a step at one lane that one may take at 64."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Waits, and answers with an action that keeps the pole up for a while."""

    protocol_version = "HTTP/1.1"
    latency = 0.1

    def do_POST(self) -> None:
        """Answers one chat request."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = body["messages"][-1]["content"]
        text = content if isinstance(content, str) else content[0].get("text", "")
        time.sleep(self.latency)
        falls_left = "pole_angular_velocity: -" in text
        message = {"role": "assistant", "content": f"'push {'left' if falls_left else 'right'}'"}
        reply = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": "fake",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        raw = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


class Server(http.server.ThreadingHTTPServer):
    """As many calls at once as there are."""

    request_queue_size = 128
    daemon_threads = True


class Timed(Asker):
    """Notes when each batch was asked."""

    def ask(self, prompts: Any) -> Any:
        """As its base."""
        self.times.append(time.perf_counter())
        self.sizes.append(len(prompts))
        return super().ask(prompts)

    def watch(self) -> Timed:
        """Begins to note."""
        self.times: list[float] = []
        self.sizes: list[int] = []
        return self


def measure(url: str, lanes: int, steps: int, config: AgentConfig) -> dict[str, Any]:
    """Seconds of a step with that many lanes, all of them running."""
    env, params = jaxrl.make("CartPole-v1")
    client = OpenAIClient("fake", base_url=url, concurrency=lanes)
    asker = Timed(client, timeout=30.0).watch()
    agent = vlm_agent(env, asker, config)
    for _ in range(2):  # the first compiles, and opens the connections
        asker.times.clear()
        asker.sizes.clear()
        agent.play(params, evaluation_key(lanes), num_episodes=lanes, max_steps=steps)
    asker.close()
    full = [
        after - before
        for before, after, size in zip(asker.times, asker.times[1:], asker.sizes, strict=False)
        if size == lanes
    ]
    step = statistics.median(full)
    return {"lanes": lanes, "seconds_per_step": step, "decisions_per_second": lanes / step}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lanes", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--latency", type=float, default=0.1)
    parser.add_argument("--observe", choices=("text", "image", "both"), default="text")
    parser.add_argument("--height", type=int, default=100)
    parser.add_argument("--width", type=int, default=150)
    options = parser.parse_args()
    os.environ.setdefault("OPENAI_API_KEY", "none-is-needed-here")
    Handler.latency = options.latency
    server = Server((HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://{HOST}:{server.server_port}/v1"
    config = AgentConfig(observe=options.observe, height=options.height, width=options.width)
    rows = [measure(url, lanes, options.steps, config) for lanes in options.lanes]
    server.shutdown()
    for row in rows:
        row["times_one_lane"] = row["seconds_per_step"] / rows[0]["seconds_per_step"]
        print(
            f"{row['lanes']:>3} lanes: {1000 * row['seconds_per_step']:.0f} ms a step, "
            f"{row['decisions_per_second']:.0f} decisions a second, "
            f"{row['times_one_lane']:.2f} times one lane's step"
        )
    line = {
        "date": date.today().isoformat(),
        "observe": options.observe,
        "latency": options.latency,
        "frame": [options.height, options.width],
        "rows": rows,
        "machine": machine(),
    }
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
