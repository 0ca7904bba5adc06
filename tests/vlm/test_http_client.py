"""Clients of OpenAI's and Anthropic's protocols with a server that misbehaves: what both do."""

import dataclasses
import logging
import socket
import time

import numpy as np
import pytest
from vlm import fake_server
from vlm.fake_server import HOST, FakeServer, answer, busy, error

from jaxrl.errors import ConfigError
from jaxrl.vlm.anthropic import AnthropicClient
from jaxrl.vlm.client import Sampling
from jaxrl.vlm.keys import Redact, key_of_environment, server
from jaxrl.vlm.messages import Image, Ok, Prompt, Refused, TimedOut, TransportError, Turn, Usage
from jaxrl.vlm.openai import OpenAIClient
from jaxrl.vlm.transport import Retries

CLIENTS = {"openai": OpenAIClient, "anthropic": AnthropicClient}
FAST = Retries(limit=3, base=0.02, cap=0.05)
NO_REPLIES = (b'{"choices": [{"mess', b"<html>", b"[1]", b"{}", b"[" * 99999, b"\xff")
KEY = "sk-secret-0123456789"


@pytest.fixture(params=CLIENTS)
def connect(request, monkeypatch):
    """A function of a server that gives a client; all are closed afterwards."""
    kind, opened = CLIENTS[request.param], []
    monkeypatch.setenv(kind.variable, KEY)

    def open_client(server, *, model="m", **settings):
        url = getattr(server, "url", server)
        opened.append(kind(model, base_url=url, **{"retries": FAST} | settings))
        return opened[-1]

    yield open_client
    for client in opened:
        client.close()
        client.close()


def ask(client, *texts, timeout=5.0, **settings):
    return client.ask([Prompt.of(text) for text in texts or ("?",)], timeout=timeout, **settings)


def test_a_prompt_arrives_as_it_was_given_and_its_answer_comes_back(connect):
    image = Image.from_array(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    turns = (Turn("user", "example", (image,)), Turn("assistant", "a moon"), Turn("user", "and?"))
    with FakeServer(answer("Leaning left.", input_tokens=120, output_tokens=3)) as server:
        client = connect(server, sampling=Sampling(max_tokens=17, temperature=0.25))
        prompts = [Prompt(turns, "Be brief."), Prompt.of("look", image, image)]
        outcomes = client.ask(prompts, timeout=5)
    assert outcomes == [Ok("Leaning left.", Usage(120, 3))] * 2
    talk, look = sorted(server.requests, key=lambda r: r.text)
    assert (talk.system, talk.text, look.system) == ("Be brief.", "and?", "")
    assert [m["role"] for m in talk.body["messages"]][-3:] == ["user", "assistant", "user"]
    assert look.images == [image.png, image.png]
    assert look.key == KEY and look.body["model"] == "m"
    assert look.body["temperature"] == 0.25 and 17 in look.body.values()


@pytest.mark.parametrize("provider", CLIENTS)
def test_the_request_is_the_one_that_the_providers_own_package_sends(provider, monkeypatch):
    package = pytest.importorskip(provider)
    monkeypatch.setenv(CLIENTS[provider].variable, KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    image = Image.from_array(np.zeros((4, 4, 3), np.uint8))
    with FakeServer() as server:
        client = CLIENTS[provider]("m", base_url=server.url)
        body = client._body(Prompt.of("ein Stäbchen", image, system="Be brief."))
        client.ask([Prompt.of("ein Stäbchen", image, system="Be brief.")], timeout=5)
        client.close()
        # Not every version of a package knows every parameter, but all hand on what is extra.
        named = {name: body[name] for name in ("model", "messages", "max_tokens")}
        extra = {name: value for name, value in body.items() if name not in named}
        if provider == "openai":
            with package.OpenAI(base_url=server.url) as theirs:
                theirs.chat.completions.create(**named, extra_body=extra)
        else:
            with package.Anthropic(base_url=server.url) as theirs:
                theirs.messages.create(**named, extra_body=extra)
    mine, other = server.requests
    assert mine.provider == other.provider == provider
    assert mine.body == other.body
    by_provider = {
        "openai": ("authorization", "openai-organization", "openai-project"),
        "anthropic": ("authorization", "anthropic-version"),
    }
    for name in ("content-type", "accept", *by_provider[provider]):
        assert mine.headers[name] == other.headers[name], name
    assert set(mine.headers) - {"user-agent"} <= set(other.headers)


def test_redirects_are_not_followed_with_a_key(connect):
    with FakeServer(error(307)) as server:
        outcome, other = ask(connect(server), *"ab")
        assert outcome.status == 307 and "redirects to elsewhere: give the URL" in outcome.reason
        assert outcome.fatal and other == outcome
        assert len(server.requests) == 1


def test_extra_parameters_are_added_and_taken_away(connect):
    extra = (("top_k", 5), ("temperature", None))
    with FakeServer() as server:
        ask(connect(server, sampling=Sampling(extra=extra)))
    assert server.requests[0].body["top_k"] == 5
    assert "temperature" not in server.requests[0].body


@pytest.mark.parametrize(
    "fault",
    [
        *[busy(), busy(0.05), error(500), error(503), error(529), error(408), error(409)],
        *[fake_server.reset(), fake_server.torn()],
        *[fake_server.garbage(b) for b in NO_REPLIES],
    ],
)
def test_faults_that_may_pass_cost_no_label(connect, fault):
    with FakeServer([fault, "yes"]) as server:
        assert [o.text for o in ask(connect(server))] == ["yes"]
        assert len(server.requests) == 2


def test_what_is_no_reply_of_a_model_is_shown(connect):
    page = f"<!doctype html><title>Log in, {KEY}</title>".encode()
    with FakeServer(fake_server.garbage(page)) as server:
        (outcome,) = ask(connect(server))
    assert "it begins with '<!doctype html><title>Log in, [key]" in outcome.reason


@pytest.mark.parametrize("fault", [error(500), fake_server.reset(), fake_server.garbage(b"[]")])
def test_faults_that_stay_end_in_an_error_and_in_nothing_else(connect, fault):
    with FakeServer(fault) as server:
        (outcome,) = ask(connect(server))
    assert isinstance(outcome, TransportError) and not outcome.fatal
    assert outcome.status == (500 if fault.status == 500 else None)
    assert "after 4 tries" in outcome.reason and len(server.requests) == 4


@pytest.mark.parametrize("status", [400, 405, 413, 418, 422])
def test_what_the_server_rejects_is_not_sent_again(connect, status):
    with FakeServer(error(status, "the image is too large")) as server:
        assert ask(connect(server)) == [TransportError("the image is too large", status)]
        assert len(server.requests) == 1


def test_nothing_below_the_transport_tries_again(connect):
    with FakeServer(error(500)) as server:
        ask(connect(server, retries=Retries(limit=0)))
    assert len(server.requests) == 1


@pytest.mark.parametrize("date", [False, True])
def test_retry_after_is_kept(connect, date):
    with FakeServer([busy(1 if date else 0.3, date=date), "yes"]) as server:
        assert ask(connect(server))[0].text == "yes"
    first, second = (request.at for request in server.requests)
    assert second - first >= (0.99 if date else 0.3)


def test_retry_after_beyond_the_deadline_is_not_waited_for(connect):
    with FakeServer(busy(60)) as server:
        began = time.monotonic()
        outcomes = ask(connect(server), *"abc", timeout=1)
    assert time.monotonic() - began < 0.9
    assert [o.status for o in outcomes] == [429] * 3 and len(server.requests) == 1


def test_hangs_end_at_the_deadline_and_hold_up_nobody_else(connect):
    with FakeServer(lambda r: fake_server.hang(5) if r.text == "b" else "yes") as server:
        client = connect(server)
        ask(client)
        began = time.monotonic()
        a, b, c = ask(client, *"abc", timeout=0.5)
        assert 0.49 < time.monotonic() - began < 1.5
        assert (a.text, b, c.text) == ("yes", TimedOut(0.5), "yes")
        assert [r.text for r in server.requests].count("b") == 1


def test_late_answers_are_paid_for_once_and_kept(connect):
    with FakeServer(lambda r: answer("late", delay=0.6) if r.text == "b" else "yes") as server:
        client, told = connect(server), []
        ask(client)
        ask(client, *"ab", timeout=0.3, on_outcome=lambda *end: told.append(end))
        assert dict(told) == {0: Ok("yes", Usage(1, 1)), 1: TimedOut(0.3)}
        while len(told) < 3:
            time.sleep(0.01)
        assert told[-1] == (1, Ok("late", Usage(1, 1)))
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (fake_server.empty(), "no"),
        (fake_server.refusal("I will not."), "I will not."),
        (fake_server.filtered(), ""),
        (answer(""), "no text"),
        (answer(None), "no text"),
        (answer(" \n"), "no text"),
        (answer(None, finish="length"), "max_tokens=256 ran out"),
        (error(400, "Output blocked by content filtering policy", "content_filter"), "blocked"),
    ],
)
def test_no_answer_is_a_refusal_and_is_not_asked_again(connect, reply, said):
    with FakeServer(reply) as server:
        (outcome,) = ask(connect(server))
    assert isinstance(outcome, Refused) and said in outcome.reason, outcome
    assert len(server.requests) == 1
    assert (outcome.usage.input_tokens > 0) == (reply.status == 200)


def test_an_answer_that_was_cut_off_says_so(connect):
    with FakeServer(answer("The pole leans about", finish="length")) as server:
        (outcome,) = ask(connect(server))
    assert outcome == Ok("The pole leans about", Usage(1, 4), complete=False)


def test_a_wrong_key_stops_everything_after_the_first_call(connect, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    with FakeServer(key="another", latency=0.05) as server:
        client = connect(server)
        outcomes = ask(client, *"abcdefghijkl")
        assert len(server.requests) == 1
    assert outcomes == [outcomes[0]] * 12
    assert outcomes[0].fatal and outcomes[0].status == 401
    assert client.variable in outcomes[0].reason
    written = [repr(outcomes), repr(client), str(client), caplog.text]
    assert not any(KEY in text or "0123456789" in text for text in written)


def test_a_server_that_wants_a_key_that_is_not_there(connect, monkeypatch):
    with FakeServer(key="wanted") as server:
        client = connect(server)
        monkeypatch.delenv(client.variable)
        (outcome,) = ask(connect(server))
    assert outcome.fatal and f"{client.variable}, which is not set" in outcome.reason


@pytest.mark.parametrize(
    "reply",
    [
        error(402, "no credit"),
        error(403, "not for you"),
        error(404, "model: m"),
        error(429, "You exceeded your current quota", "insufficient_quota"),
    ],
)
def test_what_every_call_would_meet_is_fatal(connect, reply):
    with FakeServer(reply) as server:
        client = connect(server)
        if client.variable == "ANTHROPIC_API_KEY" and reply.status == 429:
            pytest.skip("a code of OpenAI's")
        outcomes = ask(client, *"abc")
        assert len(server.requests) == 1
    assert all(o.fatal and o.status == reply.status for o in outcomes)
    assert reply.text in outcomes[0].reason


def test_an_unknown_model_is_named(connect):
    with FakeServer(models=["n"]) as server:
        (outcome,) = ask(connect(server))
    assert outcome.fatal and outcome.status == 404
    assert f"(asked was {connect(server).model}" in outcome.reason


def test_a_model_that_takes_no_temperature_is_asked_without(connect, caplog):
    def script(request):
        if request.index > 0 and "temperature" in request.body:
            said = error(400, "temperature: not supported with this model", "unsupported_value")
            return dataclasses.replace(said, delay=0.1)
        return "yes"

    with FakeServer(script) as server:
        client = connect(server)
        # The first call goes well; three that are under way together are turned down together.
        assert [o.text for o in [*ask(client), *ask(client, *"abc"), *ask(client)]] == ["yes"] * 5
        assert len(server.requests) == 1 + 6 + 1
    assert caplog.text.count("takes no temperature") == 1
    with FakeServer(error(400, "temperature: must be at most 1, and 7 is not")) as server:
        assert ask(connect(server))[0].status == 400
        assert len(server.requests) == 1


def test_as_many_at_a_time_as_allowed(connect):
    with FakeServer(latency=0.05) as server:
        client = connect(server, concurrency=4)
        ask(client)
        began = time.monotonic()
        assert len(ask(client, *map(str, range(12)))) == 12
        assert time.monotonic() - began < 0.6  # as long as one after another
        assert server.greatest_concurrency == 4


def test_nobody_is_there(connect):
    with socket.socket() as taken:
        taken.bind((HOST, 0))  # bound, but nobody listens
        (outcome,) = ask(connect(f"http://{HOST}:{taken.getsockname()[1]}"))
    assert isinstance(outcome, TransportError) and not outcome.fatal
    assert "connection failed" in outcome.reason and "refused" in outcome.reason


@pytest.mark.parametrize("kind", CLIENTS.values())
def test_keys_are_asked_for_before_any_call(kind, monkeypatch):
    monkeypatch.delenv(kind.variable, raising=False)
    with pytest.raises(ConfigError, match=f"{kind.variable} is not set"):
        kind("some-model")
    with FakeServer() as server:
        client = kind("some-model", base_url=server.url + "/")
        assert client.model.endswith(f":some-model@{server.url}")
        assert ask(client)[0].text
        client.close()
    monkeypatch.setenv(kind.variable, "sk-zażółć")
    with pytest.raises(ConfigError, match="characters that no key has") as caught:
        kind("some-model")
    assert "sk-" not in str(caught.value)
    monkeypatch.setenv(kind.variable, KEY)
    client = kind("some-model")
    assert client.model.endswith(":some-model")
    client.close()


def test_a_base_url_in_the_environment_is_part_of_the_name(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://gpu-box:8000/v1")
    client = OpenAIClient("llava")
    assert client.model == "openai:llava@http://gpu-box:8000/v1"
    client.close()


@pytest.mark.parametrize(
    "url",
    [
        *["gpu-box:8000", "ftp://x", "http://", "http://[::1", ""],
        *["http://gpu..box/v1", "http://gpu-box:port/v1", "http://gpu-box:99999/v1"],
    ],
)
def test_urls_that_are_none(url):
    with pytest.raises(ConfigError, match="a base URL is http://HOST:PORT/v1") as caught:
        server(url)
    assert repr(url) in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://me:hunter2@box/v1", "https://box/v1?key=hunter2", "ftp://hunter2@box"]
)
def test_keys_in_urls_are_refused_and_not_repeated(url):
    with pytest.raises(ConfigError, match="URL") as caught:
        server(url)
    assert "hunter2" not in str(caught.value)


def test_a_newline_after_a_key_is_not_part_of_it(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    assert key_of_environment("OPENAI_API_KEY", "openai:m", needed=True) == KEY


@pytest.mark.parametrize(
    ("key", "text", "clean"),
    [
        (KEY, f"bad key {KEY}!", "bad key [key]!"),
        (None, "Bearer abcdefgh and sk-proj-abc***wxyz", "[key] and [key]"),
        ("k", "k is not OK, kind sir", "[key] is not OK, kind sir"),
        (None, "a task-specific\n\n  risk-averse model", "a task-specific risk-averse model"),
        (None, "x" * 1000, "x" * 299 + "…"),
    ],
)
def test_redaction(key, text, clean):
    assert Redact(key)(text) == clean


def test_dataclasses_of_outcomes_hold_no_headers():
    fields = {f.name for f in dataclasses.fields(TransportError)}
    assert fields == {"reason", "status", "fatal"}
