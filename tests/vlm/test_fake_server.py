"""The server that stands in for providers is what it says it is."""

import json
import time

import pytest
from vlm import fake_server
from vlm.fake_server import FakeServer

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")

MESSAGES = [{"role": "user", "content": "?"}]


def speaking(server, key="k"):
    return openai.OpenAI(base_url=server.url, api_key=key, max_retries=0)


def test_it_speaks_to_both_sdks():
    with FakeServer(lambda request: request.text.upper()) as server:
        messages = [{"role": "user", "content": "a moon"}]
        with openai.OpenAI(base_url=server.url, api_key="k") as client:
            chat = client.chat.completions.create(model="m", messages=messages)
        with anthropic.Anthropic(base_url=server.url, api_key="k") as client:
            message = client.messages.create(model="m", max_tokens=9, messages=messages)
    assert chat.choices[0].message.content == message.content[0].text == "A MOON"
    assert chat.usage.prompt_tokens == message.usage.input_tokens == 2
    assert [r.provider for r in server.requests] == ["openai", "anthropic"]
    assert [r.key for r in server.requests] == ["k", "k"]


def test_a_list_is_played_in_order_and_its_last_for_ever():
    script = [fake_server.busy(2), fake_server.error(500), "yes"]
    with FakeServer(script, latency=0.01) as server, speaking(server) as client:

        def ask():
            reply = client.chat.completions.with_raw_response.create(model="m", messages=MESSAGES)
            return json.loads(reply.content)["choices"][0]["message"]["content"]

        with pytest.raises(openai.RateLimitError) as caught:
            ask()
        assert caught.value.response.headers["retry-after"] == "2"
        with pytest.raises(openai.InternalServerError):
            ask()
        began = time.monotonic()
        assert [ask(), ask()] == ["yes", "yes"]
        assert time.monotonic() - began >= 0.02
    assert len(server.requests) == 4 and server.greatest_concurrency == 1


@pytest.mark.parametrize("fault", [fake_server.hang(0.01), fake_server.reset(), fake_server.torn()])
def test_connections_break(fault):
    broken = pytest.raises(openai.APIConnectionError)
    with FakeServer(fault) as server, speaking(server) as client, broken:
        client.chat.completions.create(model="m", messages=MESSAGES)


def test_wrong_keys_and_models_are_told():
    with FakeServer(key="right", models={"m"}) as server:
        told = pytest.raises(openai.AuthenticationError, match="wrong")
        with speaking(server, "wrong") as client, told:
            client.chat.completions.create(model="m", messages=MESSAGES)
        with speaking(server, "right") as client:
            with pytest.raises(openai.NotFoundError):
                client.chat.completions.create(model="n", messages=MESSAGES)
            assert client.chat.completions.create(model="m", messages=MESSAGES).choices
