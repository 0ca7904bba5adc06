"""POST over connections that are kept open: HTTP/1.1 by the standard library, and nothing else.

A call costs a fraction of a millisecond of Python. Providers' SDKs need two or more, and since
threads take turns there, 64 calls of theirs wait for each other longer than for the model. For the
same reason no more is asked of the system than has to be: at each such request another thread may
take its turn first.

Certificates are checked against the system's, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR`
name; proxies are those of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`).
Redirects are not followed: a key would go to whoever they name.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import select
import ssl
import threading
import time
import urllib.request
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

from jaxrl.errors import ConfigError

CONNECT = 10.0
"""Seconds that a connection may take to open."""

KEPT = 5.0
"""Seconds for which an unused connection is good; common servers close theirs after as long."""

PIECE = 2**16
"""Bytes of a reply that are read at a time."""

AUTOMATIC = 32 + zlib.MAX_WBITS
"""For zlib: look whether the header is gzip's or zlib's own."""

COMMON = {
    "User-Agent": "jaxrl",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
}
"""Headers of every request."""


class Reply(NamedTuple):
    """What a server answered; `headers` by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoReply(Exception):
    """No whole reply came; says why."""


class Wire:
    """The connections to one server. Safe to use from several threads, each its own call."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        """Connects to nobody yet.

        Args:
            url: base of the server, as `jaxrl.vlm.keys.server` gives it.
            headers: sent with every call.

        Raises:
            ConfigError: the environment names a proxy of a kind that is not spoken to, or a header
                that cannot be sent.
        """
        parts = urlsplit(url)
        self._secure = parts.scheme == "https"
        self._host = (parts.hostname or "").encode("idna").decode()
        self._port = parts.port or (443 if self._secure else 80)
        self._proxy = _proxy(parts.scheme, f"{self._host}:{self._port}")
        named = parts.netloc if parts.netloc.isascii() else f"{self._host}:{self._port}"
        path = quote(parts.path, safe="/%:@!$&'()*+,;=~")
        if self._proxy is None or self._secure:
            self._base = path
        else:  # a proxy of plain HTTP is told the whole URL, and its own user with each request
            self._base = f"http://{named}{path}"
            headers = {**headers, **_credentials(self._proxy)}
        self._headers = _lines({"Host": named, **COMMON, **headers})
        self._tls = _verified() if self._secure else None
        self._idle: list[tuple[http.client.HTTPConnection, float]] = []
        self._lock = threading.Lock()
        self._closed = False

    def post(self, path: str, body: bytes, seconds: float) -> Reply:
        """The server's reply to JSON.

        Args:
            path: added to the base URL.
            body: what is sent.
            seconds: for all of it, connecting included.

        Raises:
            NoReply: there was no connection, it broke, or the time ran out.
        """
        ends = time.monotonic() + seconds
        connection = None
        try:
            connection = self._take() or self._open(min(seconds, CONNECT))
            head = f"POST {self._base}{path} HTTP/1.1\r\n{self._headers}"
            head += f"Content-Length: {len(body)}\r\n\r\n"
            reply, good = _exchange(connection.sock, head.encode() + body, ends)
        except TimeoutError:
            _close(connection)
            raise NoReply(f"no answer in {seconds:.1f} s") from None
        except (OSError, http.client.HTTPException) as error:
            _close(connection)
            raise NoReply(f"the connection failed: {_why(error)}") from None
        with self._lock:
            if good and not self._closed:
                self._idle.append((connection, time.monotonic()))
                return reply
        connection.close()
        return reply

    def close(self) -> None:
        """Closes what is not in use now, and the rest when it no longer is; safe to call twice."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for connection, _ in idle:
            connection.close()

    def _take(self) -> http.client.HTTPConnection | None:
        """An open connection that nobody uses."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection, since = self._idle.pop()
            if time.monotonic() - since < KEPT and not _ended(connection):
                return connection
            connection.close()

    def _open(self, seconds: float) -> http.client.HTTPConnection:
        """A new connection, through the proxy if there is one."""
        first = (self._host, self._port)
        if self._proxy is not None:
            first = (self._proxy.hostname or "", self._proxy.port or 80)
        if self._tls is None:
            connection = http.client.HTTPConnection(*first, timeout=seconds)
        else:
            connection = http.client.HTTPSConnection(*first, timeout=seconds, context=self._tls)
            if self._proxy is not None:
                connection.set_tunnel(self._host, self._port, _credentials(self._proxy))
        try:
            connection.connect()
        except TimeoutError:
            connection.close()
            raise NoReply("the connection did not open") from None
        except OSError:
            connection.close()
            raise
        return connection


def _exchange(socket: Any, request: bytes, ends: float) -> tuple[Reply, bool]:
    """The reply to one request, and whether the connection is good for another."""
    socket.settimeout(_left(ends))
    # A server may turn a request down before it has read all of it (413), and say why.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        socket.sendall(request)  # in one: a second packet takes as long as the first
    response = http.client.HTTPResponse(socket, method="POST")
    with response:
        response.begin()
        if response.status < 200:  # the reply is still to come: it must not be taken for the next
            raise http.client.HTTPException(f"an interim reply with status {response.status}")
        pieces = []
        # A piece at a time: a server that trickles is not to live beyond the deadline.
        while response.length != 0 and (piece := response.read1(PIECE)):
            pieces.append(piece)
            if response.length != 0:
                socket.settimeout(_left(ends))
        whole = b"".join(pieces)
        if response.length:
            raise http.client.IncompleteRead(whole, response.length)
        named = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, named, _unpacked(whole, named)), not response.will_close


def _unpacked(body: bytes, headers: Mapping[str, str]) -> bytes:
    """The body as it was before a server packed it, which some do though nobody asked."""
    if headers.get("content-encoding", "").strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return zlib.decompress(body, AUTOMATIC)
    except zlib.error as error:
        raise http.client.HTTPException(f"the reply cannot be unpacked: {error}") from None


def _lines(headers: Mapping[str, str]) -> str:
    """Headers as they are sent."""
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise ConfigError(f"the header {name} would hold characters that none may hold")
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def _left(ends: float) -> float:
    """Seconds to a moment of the monotonic clock."""
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _ended(connection: http.client.HTTPConnection) -> bool:
    """Whether the server has hung up: something is to be read, though nothing was asked."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(connection.sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([connection.sock], [], [], 0)[0])


def _close(connection: http.client.HTTPConnection | None) -> None:
    if connection is not None:
        connection.close()


def _why(error: Exception) -> str:
    hint = ""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = " (name a file with the authorities that you trust in SSL_CERT_FILE)"
    return f"{type(error).__name__}: {error}{hint}"


def _verified() -> ssl.SSLContext:
    """TLS as the standard library advises: certificates and names are checked."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _proxy(scheme: str, server: str) -> SplitResult | None:
    """The environment's proxy for a server "HOST:PORT", or None."""
    found = urllib.request.getproxies()
    url = found.get(scheme) or found.get("all")
    if not url or urllib.request.proxy_bypass(server):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise ConfigError(
            f"the environment's proxy for {scheme}://{server} is a {parts.scheme} proxy, and only "
            f"http://HOST:PORT is spoken to: set {scheme.upper()}_PROXY to one, or put the server "
            "into NO_PROXY"
        )
    return parts


def _credentials(proxy: SplitResult | None) -> dict[str, str]:
    """The header that tells a proxy who asks, where its URL names somebody."""
    if proxy is None or proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
