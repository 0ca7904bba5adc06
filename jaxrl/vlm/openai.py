"""Models behind OpenAI's chat protocol: OpenAI, vLLM, Ollama, and whoever else speaks it."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from jaxrl.errors import missing_extra
from jaxrl.vlm.client import Sampling
from jaxrl.vlm.keys import key_of_environment, server
from jaxrl.vlm.messages import Ok, Prompt, Refused, Turn, Usage
from jaxrl.vlm.sdk import SDKClient, at, number

HOME = "https://api.openai.com/v1"


class OpenAIClient(SDKClient):
    """Asks a model by `chat/completions` of OpenAI's SDK. See `jaxrl.vlm.client.Client`.

    Attributes:
        model: "openai:NAME", with "@URL" where the server is not OpenAI's.
    """

    variable = "OPENAI_API_KEY"

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        sampling: Sampling | None = None,
        **transport: Any,
    ) -> None:
        """Makes no call.

        Args:
            name: the model, as the server knows it.
            base_url: where the server is; None for `OPENAI_BASE_URL` in the environment, or OpenAI.
            sampling: see `Sampling`. Its `extra` goes into the request as it stands.
            transport: see `jaxrl.vlm.transport.Transport`.

        Raises:
            ConfigError: no key in `OPENAI_API_KEY`, while the server is OpenAI's; no good URL.
            MissingExtraError: the SDK is not installed.
        """
        url = server(base_url or os.environ.get("OPENAI_BASE_URL") or HOME)
        self._home = urlsplit(url).hostname == urlsplit(HOME).hostname
        model = f"openai:{name}" if url == HOME else f"openai:{name}@{url}"
        key = key_of_environment(self.variable, model, needed=self._home)
        super().__init__(model, sampling or Sampling(), key, **transport)
        try:
            import openai
        except ImportError as error:
            raise missing_extra("openai", "vlm", f"the client {model!r}") from error
        self._name, self._sdk = name, openai
        if not urlsplit(url).path:
            self._hint = "; with most servers the URL ends in /v1"
        # The SDK wants a key even for servers that want none.
        self._client = openai.OpenAI(api_key=key or "none", base_url=url, max_retries=0)

    def _create(self) -> Callable[..., Any]:
        return self._client.chat.completions.with_raw_response.create

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        sampling = self.sampling
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        body: dict[str, Any] = {
            "model": self._name,
            "messages": system + [self._message(turn) for turn in prompt.turns],
            # OpenAI's newer models refuse the old name, other servers may not know the new one.
            "max_completion_tokens" if self._home else "max_tokens": sampling.max_tokens,
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
