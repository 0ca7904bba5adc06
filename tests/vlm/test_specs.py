"""Clients by what a user types, and what is said when it is mistyped."""

import sys

import pytest
from vlm.fake_server import FakeServer

from jaxrl.errors import ConfigError, MissingExtraError, UnknownNameError
from jaxrl.vlm.client import Sampling
from jaxrl.vlm.messages import Ok, Prompt
from jaxrl.vlm.specs import KINDS, client

KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL")


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_server_of_ones_own_needs_no_key(kind):
    with FakeServer("yes") as server:
        asked = client(f"{kind}:llava:7b@{server.url}/", max_tokens=9, extra={"b": 2, "a": [1]})
        (outcome,) = asked.ask([Prompt.of("?")], timeout=5)
        asked.close()
    assert isinstance(outcome, Ok) and asked.model == f"{kind}:llava:7b@{server.url}"
    assert asked.sampling == Sampling(max_tokens=9, extra=(("a", [1]), ("b", 2)))
    body = server.requests[0].body
    assert (body["model"], body["a"], body["b"]) == ("llava:7b", [1], 2)


def test_models_may_have_an_at_in_their_names(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    asked = client("openai:gpt-4o@2024-08-06")
    assert asked.model == "openai:gpt-4o@2024-08-06" and asked._name == "gpt-4o@2024-08-06"
    asked.close()


def test_a_server_without_its_scheme():
    with pytest.raises(ConfigError, match="type @http://gpu-box:8000/v1"):
        client("openai:llava@gpu-box:8000/v1")


@pytest.mark.parametrize(
    ("spec", "variable"),
    [("openai:gpt-4o", "OPENAI_API_KEY"), ("anthropic:claude-haiku-4-5", "ANTHROPIC_API_KEY")],
)
def test_a_missing_key_is_named_before_any_call(spec, variable):
    with pytest.raises(ConfigError, match=f"{spec} needs a key.*{variable} is not set"):
        client(spec)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("opnai:gpt-4o", "did you mean 'openai'"),
        ("gpt-4o", "unknown client 'gpt-4o'.*KIND:MODEL"),
        ("captoner", "did you mean 'captioner'"),
        ("", "unknown client ''"),
    ],
)
def test_unknown_kinds_are_told_with_the_nearest(spec, said):
    with pytest.raises(UnknownNameError, match=said):
        client(spec)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].name])
def test_a_name_is_needed(kind):
    for spec in (kind, f"{kind}:", f"{kind}: "):
        with pytest.raises(ConfigError, match=f"type {kind}:"):
            client(spec)


def test_the_captioner_takes_no_name():
    with pytest.raises(ConfigError, match="type 'captioner'"):
        client("captioner:large")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_token": 3}, "did you mean 'max_tokens'"),
        ({"max_tokens": 0}, "max_tokens=0 is out of range"),
        ({"temperature": -1}, "temperature=-1 is out of range"),
        ({"detail": "lo"}, "did you mean 'low'"),
    ],
)
def test_settings_are_checked(settings, said):
    with pytest.raises((ConfigError, UnknownNameError), match=said):
        client("openai:gpt-4o", **settings)


@pytest.mark.parametrize("concurrency", [0, -1])
def test_at_least_one_call_at_a_time(concurrency, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    with pytest.raises(ConfigError, match="concurrency"):
        client("openai:gpt-4o", concurrency=concurrency)


@pytest.mark.parametrize(
    ("package", "spec", "extra"),
    [
        ("transformers", "transformers:llava-hf/llava-1.5-7b-hf", "hf"),
    ],
)
def test_what_is_not_installed_is_named(package, spec, extra, monkeypatch):
    for name in KEYS[:2]:
        monkeypatch.setenv(name, "sk-0123456789")
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=rf"{package}.*jaxrl\[{extra}\]"):
        client(spec)


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_servers_are_asked_without_the_packages_of_their_providers(kind, monkeypatch):
    for package in ("openai", "anthropic", "httpx", "pydantic"):
        monkeypatch.setitem(sys.modules, package, None)
    with FakeServer("yes") as server:
        asked = client(f"{kind}:m@{server.url}")
        assert [outcome.text for outcome in asked.ask([Prompt.of("?")], timeout=5)] == ["yes"]
        asked.close()


def test_every_kind_says_what_it_is():
    assert all(kind.about and kind.about[-1] != "." for kind in KINDS.values())


def test_the_captioner_is_there():
    pytest.importorskip("jaxrl.vlm.captioner")
    assert client("captioner").model == "captioner"
