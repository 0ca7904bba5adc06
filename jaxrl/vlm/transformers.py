"""Models that run here: BLIP-2, LLaVA, LLaVA-OneVision and others of Hugging Face's transformers.

No weight ever changes, and no code out of a model's repository is run. The classes of the models
are transformers' own, and so is what a conversation looks like to each of them.
"""

from __future__ import annotations

import hashlib
import io
import secrets
import threading
import time
import weakref
from collections.abc import Sequence
from typing import Any, ClassVar

from jaxrl.errors import ConfigError, missing_extra
from jaxrl.vlm.client import OnOutcome, Sampling
from jaxrl.vlm.conversations import pictures, writer
from jaxrl.vlm.keys import Redact
from jaxrl.vlm.messages import Ok, Outcome, Prompt, Refused, TimedOut, TransportError, Usage

CLASSES = {
    "blip-2": "Blip2ForConditionalGeneration",
    "llava": "LlavaForConditionalGeneration",
    "llava_onevision": "LlavaOnevisionForConditionalGeneration",
}
"""Kind of model to class; all others are `AutoModelForImageTextToText`'s."""


class Local:
    """A model and its processor, in memory once however many clients ask it.

    Attributes:
        torch: the module.
        model, processor: of transformers; the model in evaluation mode, its weights frozen.
        lock: held while it is asked.
    """

    loaded: ClassVar[weakref.WeakValueDictionary[str, Local]] = weakref.WeakValueDictionary()

    def __init__(self, torch: Any, model: Any, processor: Any) -> None:
        self.torch = torch
        self.model, self.processor = model.eval().requires_grad_(False), processor
        self.lock = threading.Lock()
        # Answers are appended on the right, so that what fills up shorter prompts goes to the left;
        # but an encoder's picture and text stay together.
        apart = _inner(self).config.is_encoder_decoder
        processor.tokenizer.padding_side = "right" if apart else "left"
        if processor.tokenizer.pad_token is None:
            processor.tokenizer.pad_token = processor.tokenizer.eos_token
        if getattr(processor, "num_query_tokens", 0) is None:  # BLIP-2's early checkpoints
            processor.num_query_tokens = model.config.num_query_tokens

    @classmethod
    def load(cls, name: str) -> Local:
        """Loads a model by name or folder, onto the accelerator if torch knows one.

        Raises:
            ConfigError: there is no such model, or it is no image-text-to-text model.
            MissingExtraError: torch or transformers is not installed.
        """
        if (found := cls.loaded.get(name)) is not None:
            return found
        try:
            import torch  # pyright: ignore[reportMissingImports]
            import transformers
        except ImportError as error:
            raise missing_extra(
                "transformers", "hf", f"the client 'transformers:{name}'"
            ) from error
        precision = "dtype" if int(transformers.__version__.split(".")[0]) >= 5 else "torch_dtype"
        try:
            kind = transformers.AutoConfig.from_pretrained(name).model_type
            loader = getattr(transformers, CLASSES.get(kind, "AutoModelForImageTextToText"))
            model = loader.from_pretrained(name, **{precision: "auto"})
            processor = transformers.AutoProcessor.from_pretrained(name)
        except ImportError as error:
            raise missing_extra(
                "transformers", "hf", f"transformers:{name} ({Redact(None)(str(error))})"
            ) from error
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(
                f"transformers:{name} cannot be loaded: needed is the name or folder of an "
                f"image-text-to-text model. It said: {Redact(None)(str(error))}"
            ) from error
        device = "cuda" if torch.cuda.is_available() else "cpu"
        local = cls.loaded[name] = cls(torch, model.to(device), processor)
        return local


class TransformersClient:
    """Asks a model in this process, several prompts at a time. See `jaxrl.vlm.client.Client`.

    Prompts that cannot be begun before the deadline are `TimedOut`, and so are answers that it
    cuts off; one step of the model is not interrupted. A schema is left to the prompt's text.

    Attributes:
        model: "transformers:NAME".
        sampling: `extra` goes to the model's `generate`; `detail` is not looked at.
    """

    def __init__(
        self, name: str, local: Local, *, sampling: Sampling | None = None, chunk: int = 8
    ) -> None:
        """`chunk`: prompts that are asked at a time; halved by itself where memory is short.

        Raises:
            ConfigError: the processor does not say what a conversation looks like.
        """
        self.model, self.sampling = f"transformers:{name}", sampling or Sampling()
        self.chunk, self._local = chunk, local
        self._write = writer(self.model, local.processor, local.model.config.model_type)

    @classmethod
    def load(cls, name: str, *, sampling: Sampling | None = None) -> TransformersClient:
        """See `Local.load`."""
        return cls(name, Local.load(name), sampling=sampling)

    def __repr__(self) -> str:
        return f"TransformersClient({self.model!r})"

    def close(self) -> None:
        """The model leaves memory with the last client that asks it."""

    def ask(
        self, prompts: Sequence[Prompt], *, timeout: float, on_outcome: OnOutcome | None = None
    ) -> list[Outcome]:
        """See `Client.ask`; in this thread."""
        deadline = time.monotonic() + timeout
        outcomes: dict[int, Outcome] = {}
        # Prompts with equally many pictures share a call: processors want them alike.
        todo = sorted(range(len(prompts)), key=lambda index: pictures(prompts[index]))
        while todo:
            alike = pictures(prompts[todo[0]])
            now = [i for i in todo[: self.chunk] if pictures(prompts[i]) == alike]
            if (ended := self._ask_some([prompts[i] for i in now], deadline, timeout)) is None:
                self.chunk = max(1, len(now) // 2)  # it did not fit into memory
                continue
            todo = todo[len(now) :]
            for index, outcome in zip(now, ended, strict=True):
                outcomes[index] = outcome
                if on_outcome is not None:
                    on_outcome(index, outcome)
        return [outcomes[index] for index in range(len(prompts))]

    def _ask_some(
        self, prompts: list[Prompt], deadline: float, timeout: float
    ) -> list[Outcome] | None:
        """The outcomes of prompts that are asked together, or None if fewer have to be."""
        if not self._local.lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return [TimedOut(timeout, sent=False)] * len(prompts)
        try:
            left = deadline - time.monotonic()
            if left <= 0:
                return [TimedOut(timeout, sent=False)] * len(prompts)
            return self._generate(prompts, left, TimedOut(timeout))
        except self._local.torch.OutOfMemoryError as error:
            if len(prompts) > 1:
                return None
            return [TransportError(f"out of memory: {Redact(None)(str(error))}")]
        except (ValueError, IndexError, RuntimeError) as error:
            reason = f"{type(error).__name__} in the model: {Redact(None)(str(error))}"
            return [TransportError(reason)] * len(prompts)
        finally:
            self._local.lock.release()

    def _generate(self, prompts: list[Prompt], seconds: float, cut: TimedOut) -> list[Outcome]:
        torch, model, sampling = self._local.torch, self._local.model, self.sampling
        texts = [self._write(prompt) for prompt in prompts]
        inputs = _encode(self._local.processor, texts, prompts).to(model.device, model.dtype)
        chance: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None}
        if sampling.temperature > 0:
            chance = {"do_sample": True, "temperature": sampling.temperature}
        on_gpu = [model.device] if model.device.type == "cuda" else []
        # The chance of the rest of the process is left alone.
        with torch.inference_mode(), torch.random.fork_rng(devices=on_gpu):
            torch.manual_seed(self._seed(prompts))
            tokens = model.generate(
                **inputs,
                max_new_tokens=sampling.max_tokens,
                max_time=seconds,
                **chance | dict(sampling.extra),
            )
        asked = inputs["attention_mask"].sum(1).tolist()
        new = _without_echo(self._local, tokens, inputs["input_ids"]).tolist()
        return [self._outcome(*row, cut) for row in zip(new, asked, strict=True)]

    def _outcome(self, tokens: list[int], asked: int, cut: TimedOut) -> Outcome:
        """What one row of new tokens says; it ends at the first token that ends answers."""
        ends = _ends(self._local)
        length = next((n for n, token in enumerate(tokens) if token in ends), None)
        if length is None and len(tokens) < self.sampling.max_tokens:
            return cut  # neither it nor the limit ended the answer: time did
        kept = tokens if length is None else tokens[:length]
        text = self._local.processor.tokenizer.decode(kept, skip_special_tokens=True).strip()
        usage = Usage(asked, len(kept))
        if not text:
            return Refused("the answer holds no text", usage)
        return Ok(text, usage, complete=length is not None)

    def _seed(self, prompts: list[Prompt]) -> int:
        if self.sampling.seed is None:
            return secrets.randbits(62)
        digests = "".join(prompt.digest for prompt in prompts).encode()
        own = int.from_bytes(hashlib.sha256(digests).digest()[:7])
        return (self.sampling.seed + own) % 2**62


def _encode(processor: Any, texts: list[str], prompts: list[Prompt]) -> Any:
    from PIL import Image as pillow

    images = [[i for turn in p.turns for i in turn.images] for p in prompts]
    # As Pillow's: of an array, processors would have to guess which axis is the colour.
    pixels = [
        [pillow.open(io.BytesIO(image.png)).convert("RGB") for image in row] for row in images
    ]
    bos = processor.tokenizer.bos_token
    settings: dict[str, Any] = {"text": texts, "return_tensors": "pt", "padding": True}
    if bos and texts[0].startswith(bos):
        settings["add_special_tokens"] = False  # the template has put them there
    if pixels[0]:
        settings["images"] = pixels
    return processor(**settings)


def _inner(local: Local) -> Any:
    """The language model in a model that has one apart, as BLIP-2 does."""
    return getattr(local.model, "language_model", local.model)


def _without_echo(local: Local, tokens: Any, asked: Any) -> Any:
    """New tokens only: some models repeat the prompt before them, some do not."""
    if _inner(local).config.is_encoder_decoder:
        return tokens[:, 1:]  # the first one only sets the decoder going
    length = asked.shape[1]
    echoed = tokens.shape[1] >= length and bool((tokens[:, :length] == asked).all())
    return tokens[:, length:] if echoed else tokens


def _ends(local: Local) -> set[int]:
    """Tokens that end an answer."""
    parts = (local.model, _inner(local))
    configs = [getattr(part, "generation_config", None) for part in parts]
    found = [getattr(config, "eos_token_id", None) for config in configs]
    return {
        end
        for ends in found
        for end in (ends if isinstance(ends, list) else [ends])
        if end is not None
    }
