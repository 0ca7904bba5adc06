"""A client that answers by a function: for tests, oracles and experiments without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxrl.vlm.client import OnOutcome, Sampling
from jaxrl.vlm.messages import Ok, Outcome, Prompt


class ScriptedClient:
    """Answers each prompt by `script(prompt)`, a text or an outcome; at once, in this thread.

    Attributes:
        asked: the prompts so far, in order.
    """

    def __init__(
        self, script: Callable[[Prompt], str | Outcome], *, model: str = "scripted"
    ) -> None:
        """An exception in the script is the caller's own and passes through."""
        self.model, self.sampling = model, Sampling()
        self.script = script
        self.asked: list[Prompt] = []

    def ask(
        self, prompts: Sequence[Prompt], *, timeout: float, on_outcome: OnOutcome | None = None
    ) -> list[Outcome]:
        """See `Client.ask`; `timeout` is not looked at."""
        del timeout
        outcomes: list[Outcome] = []
        for index, prompt in enumerate(prompts):
            self.asked.append(prompt)
            answer = self.script(prompt)
            outcomes.append(Ok(answer) if isinstance(answer, str) else answer)
            if on_outcome is not None:
                on_outcome(index, outcomes[-1])
        return outcomes

    def close(self) -> None:
        """Has nothing to let go of."""
