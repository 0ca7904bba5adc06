"""Models behind Anthropic's Messages API."""

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

HOME = "https://api.anthropic.com"


class AnthropicClient(SDKClient):
    """Asks a model by `messages` of Anthropic's SDK. See `jaxrl.vlm.client.Client`.

    The provider has neither seeds nor a `detail` of images: those two are not sent.

    Attributes:
        model: "anthropic:NAME", with "@URL" where the server is not Anthropic's.
    """

    variable = "ANTHROPIC_API_KEY"

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
            base_url: where the server is; None for `ANTHROPIC_BASE_URL` in the environment, or
                Anthropic.
            sampling: see `Sampling`. Its `extra` goes into the request as it stands.
            transport: see `jaxrl.vlm.transport.Transport`.

        Raises:
            ConfigError: no key in `ANTHROPIC_API_KEY`, while the server is Anthropic's; no good
                URL.
            MissingExtraError: the SDK is not installed.
        """
        url = server(base_url or os.environ.get("ANTHROPIC_BASE_URL") or HOME)
        home = urlsplit(url).hostname == urlsplit(HOME).hostname
        model = f"anthropic:{name}" if url == HOME else f"anthropic:{name}@{url}"
        key = key_of_environment(self.variable, model, needed=home)
        super().__init__(model, sampling or Sampling(), key, **transport)
        try:
            import anthropic
        except ImportError as error:
            raise missing_extra("anthropic", "vlm", f"the client {model!r}") from error
        self._name, self._sdk = name, anthropic
        self._client = anthropic.Anthropic(api_key=key or "none", base_url=url, max_retries=0)

    def _create(self) -> Callable[..., Any]:
        return self._client.messages.with_raw_response.create

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
            body["output_config"] = {"format": {"type": "json_schema", "schema": prompt.schema}}
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


def _message(turn: Turn) -> dict[str, Any]:
    if not turn.images:
        return {"role": turn.role, "content": turn.text}
    parts: list[dict[str, Any]] = []
    for image in turn.images:
        data = base64.b64encode(image.png).decode()
        source = {"type": "base64", "media_type": "image/png", "data": data}
        parts.append({"type": "image", "source": source})
    return {"role": turn.role, "content": [*parts, {"type": "text", "text": turn.text}]}
