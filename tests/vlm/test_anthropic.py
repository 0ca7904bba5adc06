"""What is Anthropic's own: the shape of images and schemas, and how its replies end."""

import json

import pytest
from vlm.fake_server import FakeServer, error, garbage

from jaxrl.agents.plans import plan_schema
from jaxrl.agents.worlds.balance import PENDULUM
from jaxrl.agents.worlds.lander import LANDER, LANDER_CONTINUOUS
from jaxrl.vlm import prompts
from jaxrl.vlm.anthropic import AnthropicClient, _enforceable
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


def _undescribed(schema):
    if isinstance(schema, list):
        return [_undescribed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    # Beside an enumeration the package leaves out the type, which says nothing more.
    dropped = {"description", "type"} if "enum" in schema else {"description"}
    return {name: _undescribed(part) for name, part in schema.items() if name not in dropped}


def test_schemas_are_sent_and_what_the_provider_does_not_know_is_not():
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    with FakeServer("{}") as server:
        ask(server, Prompt.of("?", Image(b"png"), schema=schema), seed=7, detail="low")
    body = server.requests[0].body
    assert set(body) == {"model", "messages", "max_tokens", "temperature", "output_config"}
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert [part["type"] for part in body["messages"][0]["content"]] == ["image", "text"]


def test_a_picture_may_be_shown_without_a_word():
    with FakeServer() as server:
        ask(server, Prompt.of("", Image(b"png")))
    assert [part["type"] for part in server.requests[0].body["messages"][0]["content"]] == ["image"]


def test_bounds_are_told_in_words_since_the_provider_turns_them_down():
    transform = pytest.importorskip("anthropic").transform_schema
    for schema in (
        PENDULUM.actions.schema(),
        LANDER_CONTINUOUS.actions.schema(),
        plan_schema(LANDER.actions),
        plan_schema(PENDULUM.actions),
        prompts.load("goal_score").reader.schema,
    ):
        with FakeServer("{}") as server:
            ask(server, Prompt.of("?", schema=schema))
        sent = server.requests[0].body["output_config"]["format"]["schema"]
        # The provider's own package takes the same out: nothing but the descriptions differs.
        assert _undescribed(sent) == _undescribed(transform(schema))
        assert ("minimum" in json.dumps(sent)) == ('"minimum"' in json.dumps(schema))
        assert '"minimum"' not in json.dumps(sent)
    bounded = {"type": "number", "minimum": -2, "maximum": 2, "description": "torque"}
    assert _enforceable(bounded)["description"] == "torque; minimum -2, maximum 2"


def test_a_model_that_takes_no_schema_is_asked_without():
    def script(request):
        if "output_config" in request.body:
            return error(400, "output_config.format: not supported by this model")
        return "{}"

    with FakeServer(script) as server:
        assert ask(server, Prompt.of("?", schema={"type": "object"})).text == "{}"
        assert len(server.requests) == 2


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
