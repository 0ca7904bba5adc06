"""Twenty episodes against a server that misbehaves: no lane stalls the others, nothing twice."""

import threading
import time

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
from jaxrl.vlm.messages import Prompt
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

    def __init__(self):
        self.answered, self.lock = [], threading.Lock()

    def __call__(self, request):
        if request.index in FAULTS:
            return FAULTS[request.index]
        with self.lock:
            self.answered.append(request.text)
        return lean(Prompt.of(request.text))


def play(cartpole, server, store):
    env, params = cartpole
    client = OpenAIClient("tiny", base_url=server.url, concurrency=EPISODES)
    asker = Asker(client, store=store, timeout=DEADLINE)
    agent = vlm_agent(env, asker, AgentConfig(observe="text", cadence=str(EVERY)))
    began = time.monotonic()
    played = agent.play(params, evaluation_key(0), num_episodes=EPISODES, max_steps=STEPS)
    seconds = time.monotonic() - began
    asker.close()
    return played, seconds


def test_faults_reach_one_lane_and_nothing_is_asked_twice(cartpole, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-real-key")
    store, model = tmp_path / "store.sqlite", Model()
    with FakeServer(model) as server:
        played, seconds = play(cartpole, server, store)
        once, count = set(model.answered), len(model.answered)
        again, _ = play(cartpole, server, store)
        twice, asked = set(model.answered[count:]), len(server.requests)
        last, _ = play(cartpole, server, store)
        assert len(server.requests) == asked, "the third run found everything in the store"
    rounds = STEPS // EVERY
    assert played.episodes.lengths.tolist() == [STEPS] * EPISODES
    assert len(played.decisions) == EPISODES * rounds
    # A batch and the one that mends it, each within its deadline; compiling comes on top.
    assert seconds < 2 * rounds * DEADLINE + 10
    assert max(decision.seconds for decision in played.decisions) < 2 * DEADLINE + 0.5
    fallen = [decision for decision in played.decisions if decision.fallback]
    assert 1 <= len(fallen) <= len(FAULTS)
    assert all(decision.unanswered for decision in fallen)
    assert not once & twice
    assert [d.action for d in last.decisions] == [d.action for d in again.decisions]


def test_a_model_that_hangs_costs_a_deadline_a_decision(cartpole, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-real-key")
    env, params = cartpole
    with FakeServer(hang(30.0)) as server:
        client = OpenAIClient("tiny", base_url=server.url, concurrency=4)
        agent = vlm_agent(env, Asker(client, timeout=0.4), AgentConfig(observe="text", cadence="6"))
        played = agent.play(params, evaluation_key(0), num_episodes=4, max_steps=12)
        agent.asker.close()
    assert all(decision.fallback and decision.unanswered for decision in played.decisions)
    assert max(decision.seconds for decision in played.decisions) < 0.4 + 1.0
