"""What is Anthropic's own: the shape of images and schemas, and how its replies end."""

import json

import pytest
from vlm.fake_server import FakeServer, garbage

from jaxrl.vlm.anthropic import AnthropicClient
from jaxrl.vlm.client import Sampling
from jaxrl.vlm.messages import Image, Ok, Prompt, Refused, Usage
from jaxrl.vlm.transport import Retries


def ask(server, prompt, **sampling):
    client = AnthropicClient(
        "m", base_url=server.url, sampling=Sampling(**sampling), retries=Retries(limit=0)
    )
    (outcome,) = client.ask([prompt], timeout=5)
    client.close()
    return outcome


def test_schemas_are_sent_and_what_the_provider_does_not_know_is_not():
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    with FakeServer("{}") as server:
        ask(server, Prompt.of("?", Image(b"png"), schema=schema), seed=7, detail="low")
    body = server.requests[0].body
    assert set(body) == {"model", "messages", "max_tokens", "temperature", "output_config"}
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert [part["type"] for part in body["messages"][0]["content"]] == ["image", "text"]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (
            {
                "content": [
                    {"type": "thinking", "thinking": "hm"},
                    {"type": "text", "text": "Up"},
                    {"type": "text", "text": "right."},
                ],
                "stop_reason": "end_turn",
                "usage": {"input_tokens": 3, "cache_read_input_tokens": 7, "output_tokens": 2},
            },
            Ok("Upright.", Usage(10, 2)),
        ),
        (
            {
                "content": [{"type": "text", "text": "a"}],
                "stop_reason": "model_context_window_exceeded",
            },
            Ok("a", complete=False),
        ),
        (
            {
                "content": [{"type": "text", "text": "a"}],
                "stop_reason": "refusal",
                "stop_details": {"type": "refusal", "explanation": "It could do harm."},
            },
            Refused("It could do harm."),
        ),
        ({"content": [], "stop_reason": "refusal"}, Refused("the model declined")),
    ],
)
def test_how_replies_end(reply, outcome):
    with FakeServer(garbage(json.dumps(reply).encode())) as server:
        assert ask(server, Prompt.of("?")) == outcome
