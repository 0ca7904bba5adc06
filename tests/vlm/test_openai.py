"""What is OpenAI's own: names of parameters, schemas, details of images, replies of its kin."""

import pytest
from vlm.fake_server import FakeServer, error, garbage

from jaxrl.vlm.client import Sampling
from jaxrl.vlm.messages import Image, Ok, Prompt, Refused, TransportError, Usage
from jaxrl.vlm.openai import OpenAIClient, _strict
from jaxrl.vlm.transport import Retries

CLOSED = {
    "type": "object",
    "properties": {"angle": {"type": "number"}},
    "required": ["angle"],
    "additionalProperties": False,
}


def ask(server, prompt, **sampling):
    client = OpenAIClient(
        "m", base_url=server.url, sampling=Sampling(**sampling), retries=Retries(limit=0)
    )
    (outcome,) = client.ask([prompt], timeout=5)
    client.close()
    return outcome


def test_details_seeds_and_schemas_are_sent():
    prompt = Prompt.of("?", Image(b"png"), schema=CLOSED, sample=2)
    with FakeServer('{"angle": 3}') as server:
        ask(server, prompt, detail="low", seed=7, max_tokens=9)
    body = server.requests[0].body
    assert body["messages"][-1]["content"][0]["image_url"]["detail"] == "low"
    assert body["seed"] == 9 and body["max_tokens"] == 9
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": CLOSED, "strict": True},
    }


def test_prompts_without_either_send_neither():
    with FakeServer() as server:
        ask(server, Prompt.of("?"))
    body = server.requests[0].body
    assert set(body) == {"model", "messages", "max_tokens", "temperature"}
    assert body["messages"] == [{"role": "user", "content": "?"}]


def test_openai_itself_is_told_the_longest_answer_by_its_new_name(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    client = OpenAIClient("gpt-4o", sampling=Sampling(max_tokens=5))
    body = client._body(Prompt.of("?"))
    assert body["max_completion_tokens"] == 5 and "max_tokens" not in body
    assert repr(client) == "OpenAIClient('openai:gpt-4o')"
    client.close()


def test_a_path_that_is_not_there_is_hinted_at():
    with FakeServer(error(404, "Not Found")) as server:
        assert ask(server, Prompt.of("?")).reason.endswith("the URL ends in /v1)")


def test_a_model_that_takes_no_schema_is_asked_without():
    said = "Invalid parameter: 'response_format' of type 'json_schema' is not supported"
    refuse = lambda r: error(400, said) if "response_format" in r.body else '{"angle": 1}'  # noqa: E731
    with FakeServer(refuse) as server:
        assert ask(server, Prompt.of("?", schema=CLOSED)).text == '{"angle": 1}'
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        ({**CLOSED, "required": []}, False),
        ({**CLOSED, "additionalProperties": True}, False),
        ({"type": "array", "items": CLOSED}, True),
        ({"anyOf": [CLOSED, {"type": "object"}]}, False),
        ({"type": "string"}, True),
    ],
)
def test_only_schemas_that_openai_can_enforce_are_strict(schema, strict):
    assert _strict(schema) is strict


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b'{"choices": [{"message": {"content": "hi"}}]}', Ok("hi")),
        (b'{"choices": [{"message": {"content": [{"type": "text", "text": "hi"}]}}]}', Ok("hi")),
        (
            b'{"choices": [{"message": {"content": "hi"}}], "usage": {"prompt_tokens": 4}}',
            Ok("hi", Usage(4, 0)),
        ),
        (b'{"choices": [], "usage": null}', Refused("the reply holds no choices")),
        (
            b'{"error": {"message": "upstream is down", "code": 502}}',
            TransportError("a reply without a message: upstream is down"),
        ),
        (
            b'{"choices": [{"message": null}]}',
            TransportError("a reply without a message: not the chat protocol"),
        ),
        (b'{"choices": "x"}', TransportError("a reply without a message: not the chat protocol")),
    ],
)
def test_what_compatible_servers_send(body, outcome):
    with FakeServer(garbage(body)) as server:
        assert ask(server, Prompt.of("?")) == outcome
