"""Twenty episodes against a server that misbehaves: no lane stalls the others, nothing twice."""

import threading
import time

import pytest
from agents.conftest import lean
from vlm.fake_server import (
    FakeServer,
    busy,
    empty,
    error,
    garbage,
    hang,
    refusal,
    reset,
    torn,
)

from jaxrl.agents import AgentConfig, vlm_agent
from jaxrl.evaluation import evaluation_key
from jaxrl.vlm.asker import Asker
from jaxrl.vlm.messages import Ok, Prompt
from jaxrl.vlm.openai import OpenAIClient

EPISODES, STEPS, EVERY, DEADLINE = 20, 12, 3, 1.5
FAULTS = {
    5: busy(retry_after=0.05),
    11: error(500),
    16: reset(),
    23: torn(),
    27: garbage(),
    31: empty(),
    38: refusal(),
    42: hang(20.0),
    47: busy(),
}
"""Number of the request to what comes instead of an answer."""


class Model:
    """Answers as `lean` does, but for some faults; remembers what it has answered."""

    def __init__(self, faults):
        self.faults, self.answered, self.lock = faults, [], threading.Lock()

    def __call__(self, request):
        if request.index in self.faults:
            return self.faults[request.index]
        with self.lock:
            self.answered.append(request.text)
        return lean(Prompt.of(request.text))


def play(cartpole, model, store):
    env, params = cartpole
    with FakeServer(model) as server:
        client = OpenAIClient("tiny", base_url=server.url, concurrency=EPISODES)
        asker = Asker(client, store=store, timeout=DEADLINE)
        config = AgentConfig(observe="text", cadence=str(EVERY))
        agent = vlm_agent(env, asker, config)
        began = time.monotonic()
        played = agent.play(
            params, evaluation_key(0), num_episodes=EPISODES, max_steps=STEPS
        )
        seconds = time.monotonic() - began
        asker.close()
    return played, seconds


def test_faults_reach_one_lane_and_nothing_is_asked_twice(cartpole, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-real-key")
    store = tmp_path / "store.sqlite"
    first = Model(FAULTS)
    played, seconds = play(cartpole, first, store)
    rounds = -(-STEPS // EVERY)
    assert played.episodes.lengths.tolist() == [STEPS] * EPISODES
    assert len(played.decisions) == EPISODES * rounds
    # A batch and the one that mends it, each within its deadline; compiling comes on top.
    assert seconds < 2 * rounds * DEADLINE + 10
    slowest = max(decision.seconds for decision in played.decisions)
    assert slowest < 2 * DEADLINE + 0.5
    fallen = [decision for decision in played.decisions if decision.fallback]
    assert 1 <= len(fallen) <= len(FAULTS)
    assert all(not isinstance(decision.answers[-1].outcome, Ok) for decision in fallen)

    second = Model({})
    again, _ = play(cartpole, second, store)
    assert not set(first.answered) & set(second.answered)
    assert not any(decision.fallback and decision.unanswered for decision in again.decisions
                   if "refused" not in decision.said[0])

    third = Model({})
    last, _ = play(cartpole, third, store)
    assert third.answered == []
    assert [d.action for d in last.decisions] == [d.action for d in again.decisions]


def test_a_model_that_hangs_costs_a_deadline_a_decision(cartpole, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-real-key")
    env, params = cartpole
    with FakeServer(hang(30.0)) as server:
        client = OpenAIClient("tiny", base_url=server.url, concurrency=4)
        agent = vlm_agent(env, Asker(client, timeout=0.4), AgentConfig(observe="text", cadence="6"))
        began = time.monotonic()
        played = agent.play(params, evaluation_key(0), num_episodes=4, max_steps=12)
        seconds = time.monotonic() - began
        agent.asker.close()
    assert seconds == pytest.approx(2 * 0.4, abs=3.0)
    assert all(decision.fallback for decision in played.decisions)
