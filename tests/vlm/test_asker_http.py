"""An asker whose client calls a server that misbehaves: nothing lost, nothing paid twice."""

import dataclasses
import time
from collections import Counter

import numpy as np
import pytest
from vlm.fake_server import FakeServer, answer, busy, empty, error, garbage, refusal, reset, torn

from jaxrl.vlm.asker import Asker
from jaxrl.vlm.messages import Image, Ok, OverBudget, Prompt, Refused, TimedOut, TransportError
from jaxrl.vlm.openai import OpenAIClient
from jaxrl.vlm.transport import Retries

KEY = "sk-a-key-that-nobody-may-see"
CALLS_AT_ONCE = 8
FRAME = Image.from_array(np.zeros((4, 4, 3), np.uint8))


def prompts(*texts):
    return [Prompt.of(text, FRAME) for text in texts]


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes askers of a server's model, all on one store, and closes them."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    askers = []

    def make(server, *, retries=1, **settings):
        client = OpenAIClient(
            "m",
            base_url=server.url,
            retries=Retries(limit=retries, base=0.01),
            concurrency=CALLS_AT_ONCE,
        )
        settings = {"store": tmp_path / "store.sqlite", "timeout": 5.0} | settings
        askers.append(Asker(client, **settings))
        return askers[-1]

    yield make
    for asker in askers:
        asker.close()
    for path in tmp_path.iterdir():
        assert KEY.encode() not in path.read_bytes()


FAULTS = {
    "fine": "yes",
    "busy": busy(0.01),
    "broken": error(500),
    "bad": error(400, "too large"),
    "reset": reset(),
    "torn": torn(),
    "garbage": garbage(),
    "empty": empty(),
    "refused": refusal(),
    "cut": answer("it is a", finish="length"),
}


def test_every_fault_has_its_outcome_and_none_becomes_an_answer(made):
    with FakeServer(lambda request: FAULTS[request.text]) as server:
        asker = made(server)
        found = dict(zip(FAULTS, (a.outcome for a in asker.ask(prompts(*FAULTS))), strict=True))
        assert {name for name, outcome in found.items() if isinstance(outcome, Ok)} == {
            "fine",
            "cut",
        }
        assert not found["cut"].complete
        assert isinstance(found["refused"], Refused)
        failed = set(FAULTS) - {"fine", "cut", "refused", "empty"}
        assert all(isinstance(found[name], TransportError) for name in failed)

        # All that has an answer is kept; the rest is asked again, and once the server is well, had.
        kept = {name for name, outcome in found.items() if isinstance(outcome, (Ok, Refused))}
        server.script = "well"
        before = len(server.requests)
        again = dict(zip(FAULTS, asker.ask(prompts(*FAULTS)), strict=True))
        assert {name for name, a in again.items() if a.cached} == kept
        assert all(again[name].outcome == found[name] for name in kept)
        assert {request.text for request in server.requests[before:]} == set(FAULTS) - kept
        assert asker.store.spent().calls == asker.counts.calls == 2 * len(FAULTS) - len(kept)


def test_the_store_alone_gives_the_same_numbers_without_a_server(made):
    with FakeServer(lambda request: request.text.upper()) as server:
        asker = made(server)
        first = asker.ask(prompts(*"abcdefgh"))
        server.script = error(500)
        again = made(server, budget="8calls").ask(prompts(*"abcdefgh"))
        assert [a.outcome for a in again] == [a.outcome for a in first]
        assert Counter(request.text for request in server.requests) == Counter("abcdefgh")


def test_a_wrong_key_stops_after_the_first_and_names_the_variable(made):
    with FakeServer("yes", key="the right one") as server:
        asker = made(server)
        answers = asker.ask(prompts(*(str(i) for i in range(20))))
        answers += asker.ask(prompts("more"))
        assert len(server.requests) == 1
        assert all(isinstance(a.outcome, TransportError) for a in answers)
        assert "OPENAI_API_KEY" in asker.stopping and KEY not in asker.stopping
        assert asker.store.spent().tokens == 0


def test_an_answer_after_the_deadline_is_kept_and_not_paid_again(made):
    with FakeServer(answer("at last", delay=1.0)) as server:
        asker = made(server, timeout=0.5, budget="10calls")
        assert isinstance(asker.ask(prompts("a"))[0].outcome, TimedOut)
        for _ in range(100):
            if asker.store.outcomes().get("ok"):
                break
            time.sleep(0.05)
        (late,) = asker.ask(prompts("a"))
        assert late.cached and late.outcome.text == "at last"
        assert len(server.requests) == 1
        assert (asker.budget.spent.calls, asker.budget.held.calls) == (1, 0)


def test_what_had_no_turn_before_the_deadline_costs_nothing(made):
    with FakeServer(answer("slow", delay=0.3)) as server:
        asker = made(server, timeout=0.45, budget="100calls")
        answers = asker.ask(prompts(*(str(i) for i in range(60))))
        sent = len(server.requests)
        kinds = Counter(type(a.outcome).__name__ for a in answers)
        assert kinds["TimedOut"] >= 60 - 3 * CALLS_AT_ONCE
        assert asker.counts.failed_by["unsent"] >= 60 - 3 * CALLS_AT_ONCE
        assert asker.budget.spent.calls + asker.budget.held.calls <= sent


def test_no_budget_is_passed_whatever_the_server_does(made):
    script = [busy(0.01), "yes", reset(), error(503), "yes", torn(), "yes", garbage()]
    with FakeServer(lambda request: script[request.index % len(script)]) as server:
        asker = made(server, retries=0, budget="2000tokens,30calls")
        for batch in range(8):
            futures = asker.submit(prompts(*(f"{batch} {i}" for i in range(6))))
            answers = [future.result(10) for future in futures]
        assert isinstance(answers[-1].outcome, OverBudget)
        assert len(server.requests) <= 30
        assert asker.budget.spent.tokens <= 2000
        assert asker.budget.spent.tokens == asker.store.spent().tokens


def test_usage_is_what_the_server_says(made):
    reply = dataclasses.replace(answer("yes"), input_tokens=321, output_tokens=4)
    with FakeServer(reply) as server:
        asker = made(server, price="1000,10000", budget="9usd")
        asker.ask(prompts("a"))
        assert asker.counts.dollars == pytest.approx(0.361)
        assert (asker.counts.input_tokens, asker.counts.output_tokens) == (321, 4)
        assert "$0.36 of $9.00" in asker.status()
