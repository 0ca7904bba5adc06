"""The host's side of a model's reward: frames into prompts, answers into values. Numpy only.

What runs here is called from inside a compiled program: it never calls JAX, which can deadlock,
and never raises, because an exception would arrive as an unreadable one. What went wrong is kept
and raised by the source's listener between two chunks (`VLMListener`). Meanwhile nothing is
invented: a frame without an answer has no label.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from jaxrl.rewards.alarms import BUCKETS
from jaxrl.vlm.asker import Answer, Asker
from jaxrl.vlm.messages import Image, Ok, Prompt
from jaxrl.vlm.parsing import Parser


class Template(Protocol):
    """What is needed of a prompt: that of `jaxrl.vlm.prompts.Template`, or one of your own.

    Attributes:
        name: what it is called in reports.
        digest: SHA-256 of its source: other words are another experiment.
        parser: name of the parser that it is made for.
        needs: quantities of `env.describe()` that it is about.
        images: how many pictures go with it.
    """

    name: Any
    digest: Any
    parser: Any
    needs: Any
    images: Any

    def render(self, **given: Any) -> tuple[str, str]:
        """System text and text, with quantities and parameters in their places."""
        ...


class Verdicts(NamedTuple):
    """What a model said about the questions of one call, `[n, ...]`; 0 and False beyond them.

    Attributes:
        value: R_v, float32; 0 where there is none.
        ok: bool, whether there is one.
        answered: bool, whether an answer came at all.
        arrived: bool, whether the outcome is known, whichever it is.
        bucket: hash of the answer's text, int32 in `[0, BUCKETS)`.
        fired: which of the parser's rules fired, bool `[n, R]`.
        first: bool, False where the same question stands further up in the same call.
    """

    value: Any
    ok: Any
    answered: Any
    arrived: Any
    bucket: Any
    fired: Any
    first: Any


def blank_verdicts(rows: int, rules: int) -> Verdicts:
    """Verdicts of nothing yet."""
    no = [np.zeros(rows, bool) for _ in range(4)]
    return Verdicts(
        np.zeros(rows, np.float32), no[0], no[1], no[2], np.zeros(rows, np.int32),
        np.zeros((rows, rules), bool), no[3],
    )  # fmt: skip


def like_verdicts(rows: int, rules: int) -> Verdicts:
    """Their shapes and types, as `io_callback` wants them."""
    blank = blank_verdicts(rows, rules)
    return Verdicts(*(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in blank))


class Judge:
    """Asks about frames, now or in the background.

    Attributes:
        asker: who is asked.
        error: the first exception on the host's side, raised by the listener.
        texts: how often each text was answered, in this process, for reports.
        session: a number of this process's run: a state that was restored from a checkpoint has
            another, so that what it waits for is asked again.
    """

    def __init__(
        self,
        asker: Asker,
        template: Template,
        parser: Parser,
        given: Mapping[str, Any],
    ) -> None:
        """`given`: the prompt's own parameters, the same for every frame."""
        self.asker, self.template, self.parser, self.given = asker, template, parser, dict(given)
        self.rules = rule_names(parser)
        self.error: BaseException | None = None
        self.texts: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.renew()
        # What the program waits for is on the first, where an exception can be caught whole; what
        # it does not wait for, encoding and sending, is on the second.
        self._calls = ThreadPoolExecutor(1, "judge")
        self._sending = ThreadPoolExecutor(1, "judge-sending")

    def renew(self) -> None:
        """Forgets what is waited for; the next program is told so by another `session`."""
        self.session = secrets.randbits(30)
        self._waiting: dict[int, Future[list[Future[Answer]]]] = {}
        self._place: dict[int, int] = {}
        self._prompts: dict[int, Prompt] = {}

    def ask(self, total: int, rows: Any, count: Any, frames: Any, quantities: Any) -> Verdicts:
        """Asks and waits; see `frames.show` for the arguments. Verdicts `[total]`, by their row."""
        verdicts = blank_verdicts(total, len(self.rules))
        chosen = np.asarray(rows)[: int(count)].tolist()
        shown = np.asarray(frames)[: len(chosen)]

        def judge() -> None:
            prompts = self._encode(shown, _plain(quantities))
            answers = self.asker.ask(prompts)
            for row, answer, prompt in zip(chosen, answers, prompts, strict=True):
                self._enter(verdicts, row, answer, prompt)
            verdicts.first[chosen] = _firsts(prompts)

        return verdicts if self._safely(judge) else blank_verdicts(total, len(self.rules))

    def exchange(
        self,
        rows: Any,
        count: Any,
        frames: Any,
        quantities: Any,
        waiting: Any,
        must: Any,
        base: Any,
    ) -> Verdicts:
        """Sends new questions and brings the answers to older ones, without waiting for those.

        Args:
            rows, count, frames, quantities: the new questions, see `frames.show`.
            waiting: bool `[W]`, which questions are waited for, by their number.
            must: bool `[W]`, those whose outcome is due now: the call waits for it.
            base: int, the number of the new questions' row 0.

        Returns:
            Verdicts `[W]`, `arrived` where the outcome is known.
        """
        waiting, must = np.asarray(waiting), np.asarray(must)
        verdicts = blank_verdicts(len(waiting), len(self.rules))

        def collect() -> None:
            for number in np.flatnonzero(waiting).tolist():
                answer = self._arrived(number, wait=bool(must[number]))
                if answer is not None:
                    verdicts.first[number] = True
                    self._enter(verdicts, number, answer, self._prompts[number])

        if not self._safely(collect):
            verdicts = blank_verdicts(len(waiting), len(self.rules))
        if fresh := int(count):
            numbers = (np.asarray(rows)[:fresh] + int(base)).tolist()
            # Of the frames too, as with `_plain`; of those alone that are new.
            self._send(numbers, np.asarray(frames)[:fresh].copy(), _plain(quantities))
        return verdicts

    def _send(self, numbers: Sequence[int], frames: np.ndarray, quantities: Any) -> None:
        def submit() -> list[Future[Answer]]:
            prompts = self._encode(frames, quantities)
            self._prompts.update(zip(numbers, prompts, strict=True))
            return self.asker.submit(prompts)

        sent = self._sending.submit(submit)
        for place, number in enumerate(numbers):
            self._waiting[number], self._place[number] = sent, place

    def _arrived(self, number: int, *, wait: bool) -> Answer | None:
        """The answer to a question, or None where there is none yet, or never will be."""
        sent = self._waiting.get(number)
        # `done` first: a wait of no time that ends in an exception takes a hundred times as long,
        # and there is one for each open question at each update.
        if sent is None or not (wait or sent.done()):
            return None
        if (error := sent.exception()) is not None:
            self.error = self.error or error
            return None
        answer = sent.result()[self._place[number]]
        return answer.result() if wait or answer.done() else None

    def _safely(self, function: Callable[[], None]) -> bool:
        """Calls the function; False after an exception, which is kept for the listener."""
        error = self._calls.submit(function).exception()
        self.error = self.error or error
        return error is None

    def _encode(self, frames: np.ndarray, quantities: Mapping[str, np.ndarray]) -> list[Prompt]:
        """A prompt for each question `[n, G, H, W, 3]`; equal frames are encoded once."""
        images: dict[bytes, Image] = {}
        prompts = []
        for row, shown in enumerate(frames):
            pictures = []
            for frame in shown:
                raw = hashlib.sha256(frame.tobytes()).digest()
                if raw not in images:
                    images[raw] = Image.from_array(frame)
                pictures.append(images[raw])
            names = {name: values[row, 0].item() for name, values in quantities.items()}
            prompts.append(self.prompt(names, pictures))
        return prompts

    def prompt(self, names: Mapping[str, Any], pictures: Sequence[Image]) -> Prompt:
        """The prompt about these pictures, of states with these quantities."""
        system, text = self.template.render(**self.given, **names)
        return Prompt.of(text, *pictures, system=system, schema=self.parser.schema)

    def _enter(self, verdicts: Verdicts, row: int, answer: Answer, prompt: Prompt) -> None:
        verdicts.arrived[row] = True
        if not isinstance(answer.outcome, Ok):
            return
        text = answer.outcome.text
        parsed = self.parser(text, prompt.turns[-1].text)
        self.texts[text] += 1
        if not answer.cached:
            self.seconds.append(answer.seconds)
        verdicts.answered[row] = True
        verdicts.bucket[row] = _bucket(text)
        verdicts.fired[row] = [rule in parsed.fired for rule in self.rules]
        if parsed.ok:
            verdicts.ok[row], verdicts.value[row] = True, parsed.value


def rule_names(parser: Any) -> tuple[str, ...]:
    """The rules of a parser that has a table of them, each once; () for others."""
    rules = getattr(parser, "rules", ())
    return tuple(dict.fromkeys(rule.name for rule in rules))


def _firsts(prompts: Sequence[Prompt]) -> list[bool]:
    """Which prompts are the first of their kind."""
    seen: set[str] = set()
    return [not (p.digest in seen or seen.add(p.digest)) for p in prompts]


def _bucket(text: str) -> int:
    """A hash of the text without its case and spaces; the same in every process."""
    digest = hashlib.sha256(" ".join(text.casefold().split()).encode()).digest()
    return digest[0] % BUCKETS


def _plain(quantities: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Copies: what the program gave lies in memory of its own, which the next call may fill."""
    return {name: np.array(values) for name, values in quantities.items()}
