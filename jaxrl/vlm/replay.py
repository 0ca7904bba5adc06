"""A client that answers from a store alone: no key, no network, the same numbers again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from jaxrl.errors import ConfigError, unknown_name
from jaxrl.vlm.client import OnOutcome, Sampling
from jaxrl.vlm.messages import Outcome, Prompt, TransportError
from jaxrl.vlm.store import Store


class Answers(Protocol):
    """Where recorded answers are looked up, e.g. a dict."""

    def get(self, key: str, /) -> Outcome | None:
        """The outcome for a prompt, by its `Prompt.digest`."""
        ...


class ReplayClient:
    """Answers prompts that were answered before. See `jaxrl.vlm.client.Client`.

    What is looked up is the prompt, images and system text included, and not how it was sampled:
    whoever replays wants what was answered then.

    Attributes:
        model: "replay:PATH".
        sampling: is not looked at.
    """

    def __init__(self, path: str, answers: Answers, *, sampling: Sampling | None = None) -> None:
        self.model, self.sampling = f"replay:{path}", sampling or Sampling()
        self._path, self._answers = path, answers

    @classmethod
    def open(cls, name: str, *, sampling: Sampling | None = None) -> ReplayClient:
        """Replays the store in a file.

        Args:
            name: "PATH", or "PATH#MODEL" for the answers of one model out of several.
            sampling: see the class.

        Raises:
            ConfigError: no such file, no store, no answers in it, or several models' answers.
            UnknownNameError: no answers of that model.
        """
        path, _, model = name.partition("#")
        return cls(name, recorded(Path(path), model), sampling=sampling)

    def __repr__(self) -> str:
        return f"ReplayClient({self.model!r})"

    def ask(
        self, prompts: Sequence[Prompt], *, timeout: float, on_outcome: OnOutcome | None = None
    ) -> list[Outcome]:
        """See `Client.ask`; answers at once. A prompt that is not there is a `TransportError`."""
        del timeout
        outcomes = [self._answers.get(prompt.digest) or self._missing(prompt) for prompt in prompts]
        if on_outcome is not None:
            for index, outcome in enumerate(outcomes):
                on_outcome(index, outcome)
        return outcomes

    def close(self) -> None:
        """Has nothing to let go of."""

    def _missing(self, prompt: Prompt) -> TransportError:
        text = " ".join(prompt.turns[-1].text.split())
        return TransportError(
            f"{self._path} holds no answer to {prompt.digest[:12]} ({text[:60]!r}): it was never "
            "asked; ask a model first, with this file as its store"
        )


def recorded(path: Path, model: str = "") -> dict[str, Outcome]:
    """The answers in a store by the digests of their prompts, the latest where there are several.

    Raises:
        ConfigError, UnknownNameError: see `ReplayClient.open`.
    """
    if not path.is_file():
        raise ConfigError(f"replay:{path}: there is no such file; give the store of a run")
    store = Store(path)
    try:
        records = store.answers()
    finally:
        store.close()
    models = sorted({record.model for record in records})
    if not models:
        raise ConfigError(f"replay:{path}: it holds no answers")
    if model and model not in models:
        raise unknown_name("model", model, models, f"{path} holds the answers of these.")
    if not model and len(models) > 1:
        raise ConfigError(
            f"replay:{path}: it holds the answers of {', '.join(models)}; say whose are wanted, "
            f"e.g. 'replay:{path}#{models[0]}'"
        )
    return {r.prompt: r.outcome for r in records if not model or r.model == model}
