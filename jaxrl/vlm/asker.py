"""What the rest of jaxrl asks through: the client, each prompt once, and what that took."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import Future

from jaxrl.vlm.client import Client
from jaxrl.vlm.messages import Ok, Outcome, Prompt, TransportError


@dataclasses.dataclass(frozen=True)
class Answer:
    """How asking a prompt ended.

    Attributes:
        outcome: `Ok`, or why there is none.
        key: hash of model, sampling, messages and images: its name in the store.
        cached: it came from the store, and cost nothing.
        seconds: from asking to the outcome.
    """

    outcome: Outcome
    key: str
    cached: bool
    seconds: float


@dataclasses.dataclass
class Counts:
    """What asking has taken so far; shown in progress lines and reports.

    Attributes:
        asked: prompts, however they were answered.
        calls: those that went to the client.
        cached: those that the store answered.
        repeated: those that were the same as another in flight or in their batch.
        failed: those that ended in anything but `Ok`.
        input_tokens, output_tokens: as providers counted them.
        dollars: money spent, or None where nobody knows the model's prices.
    """

    asked: int = 0
    calls: int = 0
    cached: int = 0
    repeated: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    dollars: float | None = None


class Asker:
    """Asks a client, each prompt of a batch once.

    Attributes:
        client: who is asked.
        counts: see `Counts`.
        fatal: what every further call would meet too (a wrong key), or None. After one, nothing
            more is sent.
    """

    def __init__(self, client: Client, *, timeout: float = 60.0) -> None:
        """`timeout`: seconds that a batch may take, all retries included."""
        self.client, self.timeout = client, timeout
        self.counts = Counts()
        self.fatal: TransportError | None = None

    def ask(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """One answer a prompt, in their order; waits at most `timeout` seconds."""
        began = time.perf_counter()
        unique = {prompt.digest: prompt for prompt in prompts}
        if self.fatal is None:
            outcomes = self.client.ask(list(unique.values()), timeout=self.timeout)
            self.counts.calls += len(unique)
        else:
            outcomes = [self.fatal] * len(unique)
        found = dict(zip(unique, outcomes, strict=True))
        for outcome in outcomes:
            if isinstance(outcome, TransportError) and outcome.fatal:
                self.fatal = outcome
        self.counts.asked += len(prompts)
        self.counts.repeated += len(prompts) - len(unique)
        self.counts.failed += sum(not isinstance(found[p.digest], Ok) for p in prompts)
        seconds = time.perf_counter() - began
        return [Answer(found[p.digest], p.digest, False, seconds) for p in prompts]

    def submit(self, prompts: Sequence[Prompt]) -> list[Future[Answer]]:
        """As `ask`, but at once: the answers come as they come."""
        futures: list[Future[Answer]] = [Future() for _ in prompts]
        for future, answer in zip(futures, self.ask(prompts), strict=True):
            future.set_result(answer)
        return futures

    def close(self) -> None:
        """Lets go of the client."""
        self.client.close()
