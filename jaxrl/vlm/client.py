"""The contract of a client: a batch of prompts in, a batch of outcomes out."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from jaxrl.vlm.messages import Outcome, Prompt

OnOutcome = Callable[[int, Outcome], None]
"""`on_outcome(index, outcome)`: told of each outcome as it comes, from any thread."""


@runtime_checkable
class Listener(Protocol):
    """An `OnOutcome` that is also told which outcomes came together, to write them down in one."""

    def __call__(self, index: int, outcome: Outcome) -> None:
        """See `OnOutcome`."""
        ...

    def together(self) -> contextlib.AbstractContextManager[Any]:
        """What is told within it came together; entered and left in the thread that asked."""
        ...


def together(listener: OnOutcome | None) -> contextlib.AbstractContextManager[Any]:
    """`listener.together()`, or nothing for one that does not care."""
    return listener.together() if isinstance(listener, Listener) else contextlib.nullcontext()


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How a model is to answer; part of the key under which an answer is stored.

    Attributes:
        max_tokens: the longest answer, in tokens; what a budget reserves for it.
        temperature: 0 for the likeliest answer.
        seed: passed on where a provider has one.
        detail: how closely images are looked at, where a provider asks: "low", "high", "auto".
        extra: further parameters of the provider, by their names there.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    seed: int | None = None
    detail: str = "auto"
    extra: tuple[tuple[str, Any], ...] = ()


class Client(Protocol):
    """Asks one model. Clients know neither store nor budget: an `Asker` stands before them.

    Attributes:
        model: what is asked, as it was typed, e.g. "openai:gpt-4o"; part of the store's key.
        sampling: see `Sampling`.
    """

    model: str
    sampling: Sampling

    def ask(
        self,
        prompts: Sequence[Prompt],
        *,
        timeout: float,
        on_outcome: OnOutcome | None = None,
    ) -> list[Outcome]:
        """One outcome a prompt, in their order, within `timeout` seconds for the whole batch.

        Never raises for what a model, server or network does. A prompt without an answer at the
        deadline is `TimedOut`; where its answer arrives later, `on_outcome` is still told.
        """
        ...

    def close(self) -> None:
        """Lets go of connections and threads; safe to call twice."""
        ...
