"""Models behind Anthropic's Messages API."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from jaxrl.vlm.http_client import HTTPClient, at, number
from jaxrl.vlm.messages import Ok, Prompt, Refused, Turn, Usage

VERSION = "2026-10-21"
"""Of the protocol; the server wants to be told. It is what version 2.13 of Anthropic's SDK says."""

BOUNDS = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "maxItems"),
)
"""Keywords of JSON Schema for which the provider turns a request down."""

NESTED = ("items", "anyOf", "allOf")
"""Keywords with schemas in them."""


class AnthropicClient(HTTPClient):
    """Asks a model by `messages`. See `jaxrl.vlm.client.Client`.

    The provider has neither seeds nor a `detail` of images: those two are not sent.
    """

    provider, variable = "anthropic", "ANTHROPIC_API_KEY"
    home, path = "https://api.anthropic.com", "/v1/messages"

    def _headers(self, key: str | None) -> dict[str, str]:
        return {"anthropic-version": VERSION, **({"Authorization": f"Bearer {key}"} if key else {})}

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        sampling = self.sampling
        body: dict[str, Any] = {
            "model": self._name,
            "messages": [_message(turn) for turn in prompt.turns],
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "system": prompt.system or None,
        }
        if prompt.schema is not None:
            schema = _enforceable(prompt.schema)
            body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        body |= dict(sampling.extra)
        return {name: value for name, value in body.items() if value is not None}

    def _read(self, reply: dict[str, Any]) -> Ok | Refused:
        cached = ("cache_creation_input_tokens", "cache_read_input_tokens")
        asked = sum(number(reply, "usage", name) for name in ("input_tokens", *cached))
        usage = Usage(asked, number(reply, "usage", "output_tokens"))
        content, reason = reply.get("content"), reply.get("stop_reason")
        if not isinstance(content, list):
            raise self.broken("a reply without content: not the Messages API")
        texts = [at(block, "text") for block in content if at(block, "type") == "text"]
        text = "".join(part for part in texts if isinstance(part, str))
        if reason == "refusal":
            why = at(reply, "stop_details", "explanation") or text or "the model declined"
            return Refused(self._redact(str(why)), usage)
        cut = reason in ("max_tokens", "model_context_window_exceeded")
        return self._answer(text, usage, reason, cut=cut)


def _enforceable(schema: Any) -> Any:
    """A schema as the provider takes it: objects closed, and bounds told in words."""
    if isinstance(schema, (list, tuple)):
        return [_enforceable(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    kept = {name: part for name, part in schema.items() if name not in BOUNDS}
    if "properties" in kept:  # these are names of the answer's and no keywords
        fields = kept["properties"].items()
        kept["properties"] = {name: _enforceable(field) for name, field in fields}
    if kept.get("type") == "object":
        kept["additionalProperties"] = False
    kept |= {name: _enforceable(kept[name]) for name in NESTED if name in kept}
    bounds = [f"{name} {schema[name]}" for name in BOUNDS if name in schema]
    if bounds:
        about = [kept["description"]] if "description" in kept else []
        kept["description"] = "; ".join([*about, ", ".join(bounds)])
    return kept


def _message(turn: Turn) -> dict[str, Any]:
    if not turn.images:
        return {"role": turn.role, "content": turn.text}
    parts: list[dict[str, Any]] = []
    for image in turn.images:
        data = base64.b64encode(image.png).decode()
        source = {"type": "base64", "media_type": "image/png", "data": data}
        parts.append({"type": "image", "source": source})
    if turn.text.strip():  # a part without text is turned down
        parts.append({"type": "text", "text": turn.text})
    return {"role": turn.role, "content": parts}
