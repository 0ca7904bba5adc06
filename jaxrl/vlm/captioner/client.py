"""The client `captioner`: rules that look at pixels, behind the contract of a model."""

from __future__ import annotations

from collections.abc import Sequence

from jaxrl.vlm.captioner.answers import answer
from jaxrl.vlm.client import OnOutcome, Sampling
from jaxrl.vlm.messages import Ok, Outcome, Prompt


class CaptionerClient:
    """Answers from the pixels of a prompt's pictures; at once, in this thread, for nothing.

    A rule-based captioner: it knows six scenes by their colours and shapes, says what it sees in
    fixed sentences, and says so where it does not know a picture. It understands of a question no
    more than its kind.
    """

    def __init__(self) -> None:
        """It has no settings, and nothing that it could be asked differently by."""
        self.model, self.sampling = "captioner", Sampling()

    def ask(
        self, prompts: Sequence[Prompt], *, timeout: float, on_outcome: OnOutcome | None = None
    ) -> list[Outcome]:
        """See `Client.ask`; it waits for nobody, so `timeout` is not looked at."""
        del timeout
        outcomes: list[Outcome] = []
        for index, prompt in enumerate(prompts):
            outcomes.append(Ok(answer(prompt)))
            if on_outcome is not None:
                on_outcome(index, outcomes[-1])
        return outcomes

    def close(self) -> None:
        """Has nothing to let go of."""
