"""What the clients of providers' servers have in common: one call, and its errors sorted.

Both protocols are one small JSON document each way, so that they are spoken here and not through
the providers' SDKs, whose calls cost many times as much (see `jaxrl.vlm.wire`).
"""

from __future__ import annotations

import abc
import dataclasses
import json
import logging
import os
import re
import threading
from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

from jaxrl.vlm.client import OnOutcome, Sampling
from jaxrl.vlm.keys import Redact, key_of_environment, server
from jaxrl.vlm.messages import Ok, Outcome, Prompt, Refused, TransportError, Usage
from jaxrl.vlm.transport import Failure, Transport, retry_after
from jaxrl.vlm.wire import NoReply, Reply, Wire

LOG = logging.getLogger("jaxrl.vlm")

AGAIN = (408, 409, 429)
"""Statuses below 500 after which the same call may succeed."""

FATAL = (401, 402, 403, 404)
"""Statuses that every further call would get: a wrong key, no money, no right, no such model."""

FATAL_CODES = {"insufficient_quota", "model_not_found", "invalid_api_key"}
DECLINED_CODES = {"content_filter", "content_policy_violation", "moderation_blocked"}
DISPENSABLE = ("temperature", "seed", "response_format", "output_config")
"""Parameters that some models do not take, schemas of answers among them: what is wanted stands in
the text too. They are then asked without, which is logged once."""


class HTTPClient(abc.ABC):
    """A client that asks a server; a provider says how to ask and how to read the reply.

    The server comes from `OPENAI_BASE_URL`, or what stands there in another provider's name, where
    none is given.

    Attributes:
        model: "PROVIDER:NAME", with "@URL" where the server is not the provider's own.
        sampling: see `Client`.
    """

    provider: ClassVar[str]
    """What a spec begins with."""
    home: ClassVar[str]
    """The base URL of the provider's own server."""
    path: ClassVar[str]
    """Where questions go, below the base URL."""
    variable: ClassVar[str]
    """The environment variable with the key."""

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
            base_url: where the server is; None for what the environment says, or the provider's.
            sampling: see `Sampling`. Its `extra` goes into the request as it stands.
            transport: see `jaxrl.vlm.transport.Transport`.

        Raises:
            ConfigError: no key in the environment, while the server is the provider's; no good
                URL; a proxy that is not spoken to.
        """
        elsewhere = base_url or os.environ.get(f"{self.provider.upper()}_BASE_URL")
        url = server(elsewhere or self.home)
        self._at_home = urlsplit(url).hostname == urlsplit(self.home).hostname
        self._name, self._url = name, url
        self.model = f"{self.provider}:{name}" + ("" if url == self.home else f"@{url}")
        self.sampling = sampling or Sampling()
        key = key_of_environment(self.variable, self.model, needed=self._at_home)
        self._has_key, self._redact = key is not None, Redact(key)
        self._without: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._transport = Transport(self._send, **transport)
        self._wire = Wire(url, self._headers(key))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r})"

    def ask(
        self, prompts: Sequence[Prompt], *, timeout: float, on_outcome: OnOutcome | None = None
    ) -> list[Outcome]:
        """See `Client.ask`."""
        return self._transport.ask(prompts, timeout=timeout, on_outcome=on_outcome)

    def close(self) -> None:
        """See `Client.close`."""
        self._transport.close()
        self._wire.close()

    @abc.abstractmethod
    def _headers(self, key: str | None) -> dict[str, str]:
        """What is sent with every request, beside the request."""

    @abc.abstractmethod
    def _body(self, prompt: Prompt) -> dict[str, Any]:
        """The request as it is sent."""

    @abc.abstractmethod
    def _read(self, reply: dict[str, Any]) -> Ok | Refused:
        """The outcome in a reply. Raises `Failure` if it is none."""

    def _send(self, prompt: Prompt, seconds: float) -> Ok | Refused:
        body = self._body(prompt)
        while True:
            sent = {name: value for name, value in body.items() if name not in self._without}
            try:
                return self._read(self._call(sent, seconds))
            except _NotTaken as error:
                with self._lock:
                    news = error.name not in self._without
                    self._without = self._without | {error.name}
                if news:
                    LOG.warning("%s takes no %s and is asked without", self.model, error.name)

    def _call(self, body: dict[str, Any], seconds: float) -> dict[str, Any]:
        """One call."""
        try:
            reply = self._wire.post(self.path, json.dumps(body).encode(), seconds)
        except NoReply as error:
            raise self.broken(str(error)) from None
        if reply.status >= 300:
            raise self._rejected(reply, body)
        said = _parsed(reply.body)
        if not isinstance(said, dict):
            # Cut when it is clean: half a key would not be known for one.
            begins = self._redact(reply.body.decode(errors="replace"))[:80]
            raise self.broken(f"the reply is not a JSON object; it begins with {begins!r}")
        return said

    def _answer(self, text: str, usage: Usage, finish: Any, *, cut: bool) -> Ok | Refused:
        """An answer by its text; one without any is none, and asking again would not help."""
        if text.strip():
            return Ok(text, usage, complete=not cut)
        if cut:
            said = f"max_tokens={self.sampling.max_tokens} ran out before any text: give more"
            return Refused(said, usage)
        return Refused(f"the answer holds no text (it ended by {finish!r})", usage)

    def broken(self, why: str) -> Failure:
        """What to raise for a fault of network or server that may pass."""
        return Failure(TransportError(self._redact(why)), again=True)

    def _rejected(self, reply: Reply, body: dict[str, Any]) -> Failure | _NotTaken:
        """What an HTTP status of 300 and more means."""
        status = reply.status
        said = _Said.of(reply)
        reason = self._redact(said.message)
        if said.code in DECLINED_CODES or "content filtering policy" in said.message:
            return Failure(Refused(reason))
        if status in (400, 422):
            for name in DISPENSABLE:
                if name in body and said.takes_no(name):
                    return _NotTaken(name)
        if status in (401, 403):
            absent = "" if self._has_key else ", which is not set"
            reason += f" (the key comes from {self.variable}{absent})"
        if status == 404:
            lacks = urlsplit(self.home).path if not urlsplit(self._url).path else ""
            hint = f"; with most servers the URL ends in {lacks}" if lacks else ""
            reason += f" (asked was {self.model}{hint})"
        fatal = status in FATAL or status < 400 or said.code in FATAL_CODES
        again = not fatal and (status in AGAIN or status >= 500)
        after = retry_after(reply.headers)
        return Failure(TransportError(reason, status, fatal), again=again, after=after)


class _NotTaken(Exception):
    """A parameter that the model does not take."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclasses.dataclass(frozen=True)
class _Said:
    """What a server said with an error."""

    message: str
    code: str
    param: str

    @classmethod
    def of(cls, reply: Reply) -> _Said:
        """From `{"error": {"message": …}}`, in the forms that compatible servers give it."""
        if reply.status < 400:
            there = reply.headers.get("location", "elsewhere")
            return cls(f"the server redirects to {there}: give the URL of that one", "", "")
        body = _parsed(reply.body)
        if body is None:
            body = reply.body.decode(errors="replace")
        if isinstance(body, list) and body:
            body = body[0]
        if isinstance(body, dict):
            body = body.get("error", body)
        if not isinstance(body, dict):
            return cls(str(body or "no reason given"), "", "")
        texts = [str(body.get(name) or "") for name in ("message", "code", "param")]
        return cls(texts[0] or json.dumps(body), texts[1] or str(body.get("type") or ""), texts[2])

    def takes_no(self, name: str) -> bool:
        """Whether it says that a parameter is not taken at all (not: that its value is wrong)."""
        why = re.search(
            r"support|deprecat|not (permitted|allowed)|unrecogni[sz]ed|unknown|only the default",
            self.message,
            re.IGNORECASE,
        )
        return bool(why) and (
            self.param == name or re.search(rf"\b{name}\b", self.message) is not None
        )


def _parsed(body: bytes) -> Any:
    """What JSON says, or None."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def at(reply: Any, *path: str | int) -> Any:
    """What lies at a path of names and positions in parsed JSON, or None."""
    for step in path:
        try:
            reply = reply[step]
        except (KeyError, IndexError, TypeError):
            return None
    return reply


def number(reply: Any, *path: str) -> int:
    """A count in parsed JSON, 0 where there is none."""
    found = at(reply, *path)
    return found if isinstance(found, int) else 0
