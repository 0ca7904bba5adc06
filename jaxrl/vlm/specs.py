"""Clients by what a user types: "openai:gpt-4o", "replay:runs/x/vlm/store.sqlite", "captioner"."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from jaxrl.errors import ConfigError, check_range, unknown_name
from jaxrl.vlm.client import Client, Sampling

Open = Callable[[str, Sampling, int], Client]
"""`open(name, sampling, concurrency)`: builds a client; `name` is what stands behind the colon."""

SHAPE = "A client is KIND:MODEL, e.g. openai:gpt-4o, or captioner."


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of client.

    Attributes:
        open: see `Open`. Only it imports what the client needs.
        name: what is to stand behind the colon; "" for nothing.
        about: one line of help.
    """

    open: Open
    name: str
    about: str


def client(spec: str, *, concurrency: int = 8, **sampling: Any) -> Client:
    """Builds a client. Makes no call yet.

    Args:
        spec: "openai:MODEL", "anthropic:MODEL", either with "@BASE_URL" behind it,
            "transformers:NAME_OR_PATH", "replay:PATH" or "captioner".
        concurrency: the most calls at a time, for those that call a server.
        sampling: fields of `Sampling`, e.g. `max_tokens=64`; `extra` may be a dict.

    Raises:
        UnknownNameError: no such kind of client, or no such setting.
        ConfigError: the model's name is missing, a setting is out of range, or the environment
            variable with the key is not set.
        MissingExtraError: the packages that the client needs are not installed.
    """
    head, _, name = spec.partition(":")
    if head not in KINDS:
        raise unknown_name("client", spec if ":" not in spec else head, KINDS, SHAPE)
    kind = KINDS[head]
    if kind.name and not name.strip():
        raise ConfigError(f"client {spec!r} names no model: type {head}:{kind.name}")
    if name and not kind.name:
        raise ConfigError(f"client {spec!r}: type {head!r}, it takes no name")
    return kind.open(name.strip(), _sampling(sampling), concurrency)


def _sampling(settings: dict[str, Any]) -> Sampling:
    """Settings by their names, checked."""
    known = [field.name for field in dataclasses.fields(Sampling)]
    for name in settings:
        if name not in known:
            raise unknown_name("sampling setting", name, known)
    if isinstance(extra := settings.get("extra"), dict):
        settings = {**settings, "extra": tuple(sorted(extra.items()))}
    sampling = Sampling(**settings)
    check_range("max_tokens", sampling.max_tokens, 1)
    check_range("temperature", sampling.temperature, 0)
    if sampling.detail not in ("auto", "low", "high"):
        raise unknown_name("detail", sampling.detail, ("auto", "low", "high"))
    return sampling


def _at_url(name: str) -> tuple[str, str | None]:
    """The parts of "MODEL@URL"; models may have an "@" of their own."""
    if match := re.fullmatch(r"(.*?)@(\w+://.*)", name):
        return match[1], match[2]
    if match := re.search(r"@([\w.-]+:\d+.*)", name):
        raise ConfigError(f"{name!r} names a server without its scheme: type @http://{match[1]}")
    return name, None


def _openai(name: str, sampling: Sampling, concurrency: int) -> Client:
    from jaxrl.vlm.openai import OpenAIClient

    model, url = _at_url(name)
    return OpenAIClient(model, base_url=url, sampling=sampling, concurrency=concurrency)


def _anthropic(name: str, sampling: Sampling, concurrency: int) -> Client:
    from jaxrl.vlm.anthropic import AnthropicClient

    model, url = _at_url(name)
    return AnthropicClient(model, base_url=url, sampling=sampling, concurrency=concurrency)


def _transformers(name: str, sampling: Sampling, concurrency: int) -> Client:
    from jaxrl.vlm.transformers import TransformersClient

    del concurrency  # one model, one call at a time; its batches are its own affair
    return TransformersClient.load(name, sampling=sampling)


def _replay(name: str, sampling: Sampling, concurrency: int) -> Client:
    from jaxrl.vlm.replay import ReplayClient

    del concurrency
    return ReplayClient.open(name, sampling=sampling)


def _captioner(name: str, sampling: Sampling, concurrency: int) -> Client:
    from jaxrl.vlm.captioner import CaptionerClient

    del name, sampling, concurrency  # its rules have no chance in them
    return CaptionerClient()


KINDS = {
    "openai": Kind(
        _openai,
        "MODEL or MODEL@BASE_URL",
        "OpenAI, or any server with its chat protocol (vLLM, Ollama, …); key in OPENAI_API_KEY",
    ),
    "anthropic": Kind(_anthropic, "MODEL", "Anthropic; key in ANTHROPIC_API_KEY"),
    "transformers": Kind(
        _transformers, "NAME_OR_PATH", "a local image-text-to-text model of Hugging Face"
    ),
    "replay": Kind(_replay, "PATH", "answers that a store holds, and no others"),
    "captioner": Kind(_captioner, "", "rules that read the pixels: no key, no network, no model"),
}
