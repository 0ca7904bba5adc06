"""Keys: from the environment, and into nothing that is kept."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from jaxrl.errors import ConfigError

LONGEST = 300
"""Characters of a server's words that are kept."""

_KEYS = re.compile(r"(?<!\w)(sk-|AIza|xai-|nvapi-|gsk_|hf_|[Bb]earer\s+)[\w*.\-…]{4,}")


def server(url: str) -> str:
    """A base URL as it is used.

    Raises:
        ConfigError: no http URL, or one with a key in it, which would end up in files.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")  # like the port, raises where it cannot be used
    except ValueError:
        parts, host = None, None
    if parts is None or parts.scheme not in ("http", "https") or not host:
        # What holds a user or a query may hold a key: it is not repeated.
        shown = "something else" if set(url) & {"@", "?"} else repr(url)
        raise ConfigError(f"a base URL is http://HOST:PORT/v1 or https://…, given is {shown}")
    if parts.username or parts.password or parts.query:
        raise ConfigError(
            f"the base URL on {host} holds a user, a password or a query: give it without, and the "
            "key in the environment"
        )
    return url.rstrip("/")


def key_of_environment(variable: str, spec: str, *, needed: bool) -> str | None:
    """The key in an environment variable, or None where there is none and none is needed.

    Raises:
        ConfigError: it is not set but needed, or holds what cannot be sent.
    """
    key = os.environ.get(variable, "").strip()
    if not key:
        if needed:
            raise ConfigError(
                f"{spec} needs a key, and the environment variable {variable} is not set: "
                f"export {variable}=…, or name a server of your own, MODEL@http://HOST:PORT/v1"
            )
        return None
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(f"{variable} holds spaces or characters that no key has: set it again")
    return key


class Redact:
    """Takes keys out of a server's words, and shortens them."""

    def __init__(self, key: str | None) -> None:
        # Short keys only as whole words: "k" is in many of them.
        edges = ("", "") if key is None or len(key) >= 8 else (r"(?<!\w)", r"(?!\w)")
        self._own = None if key is None else re.compile(re.escape(key).join(edges))

    def __call__(self, text: str) -> str:
        """The text without keys, on one line, at most `LONGEST` characters."""
        if self._own is not None:
            text = self._own.sub("[key]", text)
        text = " ".join(_KEYS.sub("[key]", text).split())
        return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
