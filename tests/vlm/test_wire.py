"""Connections: kept while they are good, verified, through proxies, never beyond a deadline."""

import contextlib
import gzip
import shutil
import socket
import ssl
import subprocess
import threading
import time
import zlib

import pytest
from vlm.fake_server import HOST

from jaxrl.errors import ConfigError
from jaxrl.vlm.wire import NoReply, Wire

OK = b"HTTP/1.1 200 OK\r\nX-Name: a\r\nContent-Length: 2\r\n\r\n{}"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def to():
    """A function of a URL and headers that gives a wire; all are closed afterwards."""
    wires = []

    def open_wire(url, headers=None):
        wires.append(Wire(url, headers or {}))
        return wires[-1]

    yield open_wire
    for wire in wires:
        wire.close()


class Peer:
    """Hands each connection to `serve(socket)`; `heads` are the requests' lines and headers."""

    def __init__(self, serve, tls=None):
        self.heads, self.connections = [], 0
        self._serve, self._tls = serve, tls
        self._listening = socket.create_server((HOST, 0))
        self.at = f"{HOST}:{self._listening.getsockname()[1]}"

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listening.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection):
        with contextlib.suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                self._serve(self, connection)

    def read(self, connection):
        """Reads one request; False at the end."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (piece := connection.recv(65536)):
                return False
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        while len(body) < int(lines.get("Content-Length", 0)):
            body += connection.recv(65536)
        self.heads.append(head.decode())
        return True


def replying(*pieces, pause=0.0, close=False):
    """A peer that answers every request with these bytes, with pauses between them."""

    def serve(peer, connection):
        while peer.read(connection):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
            if close:
                return

    return Peer(serve)


def post(wire, seconds=5.0):
    return wire.post("/ask", b'{"a": 1}', seconds)


def test_a_connection_is_kept_for_the_next_call(to):
    with replying(OK) as peer:
        wire = to(f"http://{peer.at}/v1", {"Authorization": "Bearer k"})
        replies = [post(wire) for _ in range(3)]
    assert [(r.status, r.body, r.headers["x-name"]) for r in replies] == [(200, b"{}", "a")] * 3
    assert peer.connections == 1
    first, *lines = peer.heads[0].split("\r\n")
    assert first == "POST /v1/ask HTTP/1.1"
    assert {f"Host: {peer.at}", "Authorization: Bearer k", "Content-Length: 8"} <= set(lines)


def test_calls_at_once_have_connections_of_their_own(to):
    with replying(b"", OK, pause=0.1) as peer:
        wire = to(f"http://{peer.at}")
        threads = [threading.Thread(target=post, args=(wire,)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert peer.connections == 5


@pytest.mark.parametrize("said", [False, True])
def test_a_connection_that_the_server_closed_is_not_used_again(to, said):
    reply = OK.replace(b"X-Name", b"Connection: close\r\nX-Name") if said else OK
    with replying(reply, close=True) as peer:
        wire = to(f"http://{peer.at}")
        for _ in range(2):
            assert post(wire).status == 200
            time.sleep(0.05)  # until its end has arrived
        assert peer.connections == 2


def test_replies_in_chunks(to):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with replying(head, b"1\r\n{\r\n", b"1\r\n}\r\n0\r\n\r\n", pause=0.02) as peer:
        wire = to(f"http://{peer.at}")
        assert [post(wire).body for _ in range(2)] == [b"{}"] * 2
        assert peer.connections == 1


@pytest.mark.parametrize("whole", [b"HTTP/1.1 200 OK\r\n\r\n", OK.replace(b": 2", b": 99")])
def test_a_server_that_trickles_is_not_waited_for(to, whole):
    with replying(whole, *[b"x"] * 99, pause=0.1) as peer:
        began = time.monotonic()
        with pytest.raises(NoReply, match=r"no answer in 0\.5 s"):
            post(to(f"http://{peer.at}"), seconds=0.5)
        assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("reply", [b"", b"SSH-2.0\r\n\r\n", OK[:-1]])
def test_what_is_no_whole_reply_is_none(to, reply):
    with replying(reply, close=True) as peer, pytest.raises(NoReply, match="connection failed"):
        post(to(f"http://{peer.at}"))


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_a_packed_reply_is_unpacked(to, pack):
    body = pack(b'{"a": 1}')
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    with replying(head.encode() + body) as peer:
        assert post(to(f"http://{peer.at}")).body == b'{"a": 1}'
    torn = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n"
    with replying(torn + body[:9]) as peer, pytest.raises(NoReply, match="cannot be unpacked"):
        post(to(f"http://{peer.at}"))


def test_an_interim_reply_is_not_taken_for_the_one_to_the_next_call(to):
    """The late reply to the first call comes on a connection that nobody uses any more."""
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
    with replying(hint, OK, pause=0.1) as peer:
        wire = to(f"http://{peer.at}")
        for _ in range(2):
            with pytest.raises(NoReply, match="interim reply with status 103"):
                post(wire)
        assert peer.connections == 2


def test_a_server_that_turns_down_what_it_has_not_read_is_heard(to):
    def serve(peer, connection):
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")
        connection.shutdown(socket.SHUT_RDWR)

    with Peer(serve) as peer:
        assert to(f"http://{peer.at}").post("/ask", b"x" * 2**24, 5.0).status == 413


def test_a_host_may_have_letters_of_its_own(to, monkeypatch):
    with replying(OK) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.at)
        assert post(to("http://bücher.example/v1")).status == 200
    first, *lines = proxy.heads[0].split("\r\n")
    assert first == "POST http://xn--bcher-kva.example:80/v1/ask HTTP/1.1"
    assert "Host: xn--bcher-kva.example:80" in lines


def test_a_proxy_is_asked_for_the_whole_url(to, monkeypatch):
    with replying(OK) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:p%40ss@{proxy.at}")
        assert post(to("http://far-away:8000/v1")).status == 200
        monkeypatch.setenv("NO_PROXY", "far-away")
        with pytest.raises(NoReply):
            post(to("http://far-away:8000/v1"))
    first, *lines = proxy.heads[0].split("\r\n")
    assert first == "POST http://far-away:8000/v1/ask HTTP/1.1"
    assert {"Host: far-away:8000", "Proxy-Authorization: Basic bWU6cEBzcw=="} <= set(lines)
    assert len(proxy.heads) == 1


def test_a_proxy_is_asked_for_a_tunnel_and_sees_no_key(to, monkeypatch):
    denied = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    with replying(denied, close=True) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.at)
        with pytest.raises(NoReply, match="Tunnel connection failed: 403"):
            post(to("https://far-away/v1", {"Authorization": "Bearer k"}))
    assert proxy.heads[0].startswith("CONNECT far-away:443 ")
    assert "Bearer" not in proxy.heads[0]


def test_proxies_of_other_kinds_are_refused(to, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:hunter2@gate:1080")
    with pytest.raises(ConfigError, match=r"is a socks5 proxy.*set HTTPS_PROXY") as caught:
        to("https://far-away/v1")
    assert "hunter2" not in str(caught.value)


def test_a_header_cannot_smuggle_in_another(to):
    with pytest.raises(ConfigError, match="the header OpenAI-Project"):
        to("http://far-away", {"OpenAI-Project": "a\r\nX: b"})


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate")
def test_certificates_are_checked(to, tmp_path, monkeypatch):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    usage = "keyUsage=critical,digitalSignature,keyCertSign"
    settings = ["-subj", "/CN=peer", "-addext", f"subjectAltName=IP:{HOST}", "-addext", usage]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make.split(), *settings, *files], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)

    def serve(peer, connection):
        while peer.read(connection):
            connection.sendall(OK)

    with Peer(serve, tls) as peer:
        with pytest.raises(NoReply, match=r"certificate verify failed.*SSL_CERT_FILE"):
            post(to(f"https://{peer.at}"))
        assert peer.heads == []  # nothing was said to it
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        wire = to(f"https://{peer.at}")
        assert [post(wire).status for _ in range(2)] == [200, 200]
