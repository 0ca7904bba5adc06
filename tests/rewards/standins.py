"""What the tests of a model's reward ask: a prompt, a parser and clients of a few lines."""

import dataclasses
import threading
import time

import numpy as np

from jaxrl.vlm.asker import Asker
from jaxrl.vlm.messages import Refused
from jaxrl.vlm.scripted import ScriptedClient


@dataclasses.dataclass(frozen=True)
class Question:
    """A prompt of one text; `needs` and `images` as in `jaxrl.vlm.prompts.Template`."""

    text: str = "What is this worth?"
    needs: tuple[str, ...] = ()
    images: int = 1
    name: str = "question"
    digest: str = "0"
    parser: str = "number"

    def render(self, **given):
        return "", self.text.format(**given)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What `Number` gives back."""

    value: float
    ok: bool
    fired: tuple[str, ...] = ()


class Number:
    """Reads a text that is a number."""

    name, digest, schema = "number", "0", None

    def __call__(self, text, prompt_text=""):
        try:
            return Verdict(float(text), True)
        except ValueError:
            return Verdict(float("nan"), False)


def mean_pixel(prompt):
    """An answer that depends on every pixel: the frame's mean."""
    return f"{np.mean(prompt.turns[-1].images[0].to_array()):.4f}"


def fussy(prompt):
    """Some frames are refused, some answered without a number, and some well."""
    value = float(mean_pixel(prompt))
    kind = int(value) % 4
    return [Refused("no"), "I cannot say", f"{value:.4f}", f"{value:.4f}"][kind]


class Batches(ScriptedClient):
    """A scripted client that notes the size of each batch, and may take its time."""

    def __init__(self, script=mean_pixel, *, seconds=0.0):
        super().__init__(script)
        self.batches, self.seconds, self.lock = [], seconds, threading.Lock()

    def ask(self, prompts, *, timeout, on_outcome=None):
        with self.lock:
            self.batches.append(len(prompts))
        time.sleep(self.seconds)
        return super().ask(prompts, timeout=timeout, on_outcome=on_outcome)


def asker(script=mean_pixel, *, seconds=0.0, **settings):
    """An asker of a scripted client."""
    return Asker(Batches(script, seconds=seconds), **settings)
