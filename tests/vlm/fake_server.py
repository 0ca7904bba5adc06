"""A local HTTP server that speaks OpenAI's chat protocol and Anthropic's Messages, and misbehaves.

    from vlm.fake_server import FakeServer, busy, reset

    with FakeServer([busy(retry_after=0.1), reset(), "The lander is stable."]) as server:
        client = openai.OpenAI(base_url=server.url, api_key="anything")
        ...
        assert len(server.requests) == 3

`server.url` is the base URL for both SDKs (and for `openai:MODEL@URL`); the path tells which
protocol is spoken. What it does is its script:

- a text or a `Reply`: the same for every request;
- a list of them: one a request in the order of arrival, the last one for ever;
- a function of the `Request`, called in the thread of the request: `lambda r: r.text.upper()`.

Replies: `answer(text)` (with `delay`, `finish="length"`, `input_tokens`, `output_tokens`),
`busy(retry_after)` (429), `error(status, message, code)`, `hang(seconds)`, `reset()`, `torn()`
(half a body), `garbage(body)` (200, but not what was agreed), `empty()` (no choices),
`refusal(text)`, `filtered()`. Any of them can be late: `dataclasses.replace(busy(), delay=0.1)`;
`latency` delays all.

Afterwards `server.requests` holds what was asked, in order (`.text`, `.images` as PNG bytes,
`.system`, `.body`, `.headers`, `.at`), and `server.greatest_concurrency` how many were being
answered at once. With `key=` any other key gets a 401 that repeats the key, as careless servers do;
with `models=` any other model gets a 404. Both come before the script, and use up its turn.
"""

import base64
import contextlib
import dataclasses
import email.utils
import http.server
import ipaddress
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

HOST = str(ipaddress.IPv4Address(socket.INADDR_LOOPBACK))


@dataclasses.dataclass(frozen=True)
class Reply:
    """What the server does with one request.

    `finish` is named as OpenAI does: "stop", "length", "content_filter". `raw` is sent instead of a
    proper body. `fault` is what happens instead of a reply.
    """

    text: str | None = ""
    status: int = 200
    delay: float = 0.0
    retry_after: float | None = None
    as_date: bool = False
    finish: str = "stop"
    refused: str | None = None
    choices: bool = True
    code: str | None = None
    raw: bytes | None = None
    fault: Literal["hang", "reset", "torn"] | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


def answer(text: str | None, **settings: Any) -> Reply:
    """An answer; `None` is one without a text."""
    return Reply(text, **settings)


def error(status: int, message: str = "it failed", code: str | None = None) -> Reply:
    """An error in the shape of the provider."""
    return Reply(message, status, code=code)


def busy(retry_after: float | None = None, *, date: bool = False) -> Reply:
    """429; `retry_after` in seconds, sent as a number or as an HTTP date (whole seconds)."""
    code = "rate_limit_exceeded"
    return Reply("slow down", 429, code=code, retry_after=retry_after, as_date=date)


def hang(seconds: float = 30.0) -> Reply:
    """Nothing for so long, or until the server closes; then the connection closes."""
    return Reply(fault="hang", delay=seconds)


def reset() -> Reply:
    """The connection is reset after the request was read."""
    return Reply(fault="reset")


def torn(text: str = "half an answer") -> Reply:
    """The connection closes in the middle of the body."""
    return Reply(text, fault="torn")


def garbage(body: bytes = b'{"choices": [{"mess') -> Reply:
    """Status 200 with a body that is not the protocol's."""
    return Reply(raw=body)


def empty() -> Reply:
    """No choices, no content."""
    return Reply(choices=False)


def refusal(text: str = "I cannot help with that.") -> Reply:
    """The model declines."""
    return Reply(None, refused=text)


def filtered() -> Reply:
    """A filter stopped the answer."""
    return Reply(None, finish="content_filter")


@dataclasses.dataclass(frozen=True)
class Request:
    """What was asked. `text` and `images` are of the last turn; `at` is `time.monotonic()`."""

    index: int
    provider: Literal["openai", "anthropic"]
    body: dict[str, Any]
    headers: dict[str, str]
    at: float

    @property
    def parts(self) -> list[dict[str, Any]]:
        content = self.body["messages"][-1]["content"]
        return [{"type": "text", "text": content}] if isinstance(content, str) else content

    @property
    def text(self) -> str:
        return "".join(part["text"] for part in self.parts if part["type"] == "text")

    @property
    def images(self) -> list[bytes]:
        if self.provider == "openai":
            urls = [p["image_url"]["url"] for p in self.parts if p["type"] == "image_url"]
            assert all(url.startswith("data:image/png;base64,") for url in urls)
            return [base64.b64decode(url.partition(",")[2]) for url in urls]
        sources = [p["source"] for p in self.parts if p["type"] == "image"]
        assert all(source["media_type"] == "image/png" for source in sources)
        return [base64.b64decode(source["data"]) for source in sources]

    @property
    def system(self) -> str:
        if self.provider == "anthropic":
            return self.body.get("system", "")
        first = self.body["messages"][0]
        return first["content"] if first["role"] == "system" else ""

    @property
    def key(self) -> str:
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        return self.headers.get("x-api-key", bearer)


Script = str | Reply | Sequence[str | Reply] | Callable[[Request], str | Reply]


class FakeServer:
    """See the module. `latency` in seconds."""

    def __init__(
        self,
        script: Script = "A black pole.",
        *,
        latency: float = 0.0,
        key: str | None = None,
        models: Collection[str] | None = None,
    ) -> None:
        self.script, self.latency, self.key, self.models = script, latency, key, models
        self.requests: list[Request] = []
        self.greatest_concurrency = 0
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._running = 0
        self._http = _Server((HOST, 0), type("Handler", (_Handler,), {"fake": self}))
        self.url = f"http://{HOST}:{self._http.server_address[1]}"

    def __enter__(self) -> "FakeServer":
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()

    @contextlib.contextmanager
    def received(self, provider: Any, body: dict[str, Any], headers: dict[str, str]):
        """Notes a request, and counts it as running as long as the context lasts."""
        with self._lock:
            request = Request(len(self.requests), provider, body, headers, time.monotonic())
            self.requests.append(request)
            self._running += 1
            self.greatest_concurrency = max(self.greatest_concurrency, self._running)
        try:
            yield request
        finally:
            with self._lock:
                self._running -= 1

    def reply(self, request: Request) -> Reply:
        if self.key is not None and request.key != self.key:
            return error(401, f"Incorrect API key provided: {request.key}.", "invalid_api_key")
        if self.models is not None and request.body["model"] not in self.models:
            return error(404, f"model: {request.body['model']} does not exist", "model_not_found")
        script = self.script
        if callable(script):
            found = script(request)
        elif isinstance(script, (str, Reply)):
            found = script
        else:
            found = script[min(request.index, len(script) - 1)]
        return answer(found) if isinstance(found, str) else found


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that have gone away are part of the game."""


class _Handler(http.server.BaseHTTPRequestHandler):
    fake: FakeServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        del format, args

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        provider = "openai" if self.path.endswith("/chat/completions") else "anthropic"
        if provider == "anthropic" and not self.path.endswith("/messages"):
            self.send_error(404)
            return
        with self.fake.received(provider, body, headers) as request:
            reply = self.fake.reply(request)
            self.fake.closing.wait(self.fake.latency + reply.delay)
            if reply.fault == "hang":
                self.close_connection = True
            elif reply.fault == "reset":
                self._reset()
            else:
                payload = _payload(request, reply)
                self._write(request, reply, payload)

    def _write(self, request: Request, reply: Reply, payload: bytes) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("x-request-id", f"req-{request.index}")
        if reply.retry_after is not None:
            date = email.utils.formatdate(time.time() + reply.retry_after, usegmt=True)
            self.send_header("Retry-After", date if reply.as_date else str(reply.retry_after))
        self.end_headers()
        if reply.fault == "torn":
            self.close_connection = True
            payload = payload[: len(payload) // 2]
        self.wfile.write(payload)

    def _reset(self) -> None:
        self.close_connection = True
        linger = struct.pack("ii", 1, 0)  # closing then sends RST, not FIN
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        os.close(self.connection.detach())


def _payload(request: Request, reply: Reply) -> bytes:
    if reply.raw is not None:
        return reply.raw
    shape = {"openai": _openai, "anthropic": _anthropic}[request.provider]
    return json.dumps(shape(request, reply)).encode()


def _tokens(request: Request, reply: Reply) -> tuple[int, int]:
    words = len(request.system.split()) + len(request.text.split())
    asked = words + 85 * len(request.images)
    said = len((reply.text or reply.refused or "").split())
    return (
        asked if reply.input_tokens is None else reply.input_tokens,
        said if reply.output_tokens is None else reply.output_tokens,
    )


def _openai(request: Request, reply: Reply) -> dict[str, Any]:
    if reply.status >= 400:
        kind = "invalid_request_error" if reply.status < 500 else "server_error"
        error = {"message": reply.text, "type": kind, "param": None, "code": reply.code}
        return {"error": error}
    asked, said = _tokens(request, reply)
    message = {"role": "assistant", "content": reply.text, "refusal": reply.refused}
    choice = {"index": 0, "message": message, "finish_reason": reply.finish, "logprobs": None}
    return {
        "id": f"chatcmpl-{request.index}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request.body["model"],
        "choices": [choice] if reply.choices else [],
        "usage": {
            "prompt_tokens": asked,
            "completion_tokens": said,
            "total_tokens": asked + said,
        },
    }


def _anthropic(request: Request, reply: Reply) -> dict[str, Any]:
    if reply.status >= 400:
        kinds = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
        kind = kinds.get(
            reply.status, "api_error" if reply.status >= 500 else "invalid_request_error"
        )
        return {"type": "error", "error": {"type": kind, "message": reply.text}}
    asked, said = _tokens(request, reply)
    reasons = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}
    text = reply.text or reply.refused
    return {
        "id": f"msg_{request.index}",
        "type": "message",
        "role": "assistant",
        "model": request.body["model"],
        "content": [{"type": "text", "text": text}] if text and reply.choices else [],
        "stop_reason": "refusal" if reply.refused else reasons.get(reply.finish, reply.finish),
        "stop_sequence": None,
        "usage": {"input_tokens": asked, "output_tokens": said},
    }
