"""Models behind OpenAI's chat protocol: OpenAI, vLLM, Ollama, and whoever else speaks it."""

from __future__ import annotations

import base64
import os
from typing import Any

from jaxrl.vlm.http_client import HTTPClient, at, number
from jaxrl.vlm.messages import Ok, Prompt, Refused, Turn, Usage


class OpenAIClient(HTTPClient):
    """Asks a model by `chat/completions`. See `jaxrl.vlm.client.Client`.

    Where `OPENAI_ORG_ID` and `OPENAI_PROJECT_ID` are set, they say who is billed.
    """

    provider, variable = "openai", "OPENAI_API_KEY"
    home, path = "https://api.openai.com/v1", "/chat/completions"

    def _headers(self, key: str | None) -> dict[str, str]:
        named = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
        headers = {name: os.environ.get(variable, "").strip() for name, variable in named.items()}
        headers["Authorization"] = f"Bearer {key}" if key else ""
        return {name: value for name, value in headers.items() if value}

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        sampling = self.sampling
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        body: dict[str, Any] = {
            "model": self._name,
            "messages": system + [self._message(turn) for turn in prompt.turns],
            # OpenAI's newer models refuse the old name, other servers may not know the new one.
            "max_completion_tokens" if self._at_home else "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
        }
        if sampling.seed is not None:
            # Draws of the same prompt are to differ.
            body["seed"] = sampling.seed + prompt.sample
        if prompt.schema is not None:
            schema = {"name": "answer", "schema": prompt.schema, "strict": _strict(prompt.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        body |= dict(sampling.extra)
        return {name: value for name, value in body.items() if value is not None}

    def _message(self, turn: Turn) -> dict[str, Any]:
        if not turn.images:
            return {"role": turn.role, "content": turn.text}
        parts: list[dict[str, Any]] = []
        for image in turn.images:
            data = base64.b64encode(image.png).decode()
            picture = {"url": f"data:image/png;base64,{data}", "detail": self.sampling.detail}
            parts.append({"type": "image_url", "image_url": picture})
        return {"role": turn.role, "content": [*parts, {"type": "text", "text": turn.text}]}

    def _read(self, reply: dict[str, Any]) -> Ok | Refused:
        usage = Usage(
            number(reply, "usage", "prompt_tokens"), number(reply, "usage", "completion_tokens")
        )
        choices = reply.get("choices")
        if choices == []:
            return Refused("the reply holds no choices", usage)
        message = at(choices, 0, "message")
        if not isinstance(message, dict):
            # Routers answer 200 with {"error": …} for what went wrong behind them.
            said = at(reply, "error", "message")
            raise self.broken(f"a reply without a message: {said or 'not the chat protocol'}")
        finish = at(choices, 0, "finish_reason")
        if isinstance(refusal := message.get("refusal"), str) and refusal:
            return Refused(self._redact(refusal), usage)
        if finish == "content_filter":
            return Refused("stopped by the provider's content filter", usage)
        return self._answer(_text(message.get("content")), usage, finish, cut=finish == "length")


def _text(content: Any) -> str:
    """The text of a message, which some servers send in parts."""
    if isinstance(content, list):
        content = "".join(
            part for part in (at(c, "text") for c in content) if isinstance(part, str)
        )
    return content if isinstance(content, str) else ""


def _strict(schema: Any) -> bool:
    """Whether OpenAI enforces a schema: every object closed, every property required."""
    if isinstance(schema, (list, tuple)):
        return all(_strict(part) for part in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object":
        names = set(schema.get("properties", ()))
        if schema.get("additionalProperties") is not False or names - set(
            schema.get("required", ())
        ):
            return False
    return all(_strict(part) for part in schema.values())
