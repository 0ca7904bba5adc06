"""What passes to and from a model: prompts with images, and the five ways in which a call can end.

An outcome is `Ok` or says why there is no answer; nothing here turns a failure into a text, so
that nothing later can turn it into a number.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import struct
import zlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

import numpy as np

from jaxrl.errors import missing_extra


@dataclasses.dataclass(frozen=True)
class Image:
    """A picture as the PNG bytes that are sent, hashed and stored.

    Attributes:
        png: the encoded picture. Encoding is deterministic: equal frames are equal images.
    """

    png: bytes

    @classmethod
    def from_array(cls, frame: np.ndarray) -> Image:
        """Encodes a frame, uint8 `[H, W, 3]`.

        Raises:
            ValueError: another type or shape.
        """
        frame = np.asarray(frame)
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3 or not frame.size:
            raise ValueError(f"a frame is uint8 [H, W, 3], given is {frame.dtype} {frame.shape}")
        return cls(_png(frame))

    def to_array(self) -> np.ndarray:
        """The picture as uint8 `[H, W, 3]`."""
        return np.asarray(_pillow().open(io.BytesIO(self.png)).convert("RGB"))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes, in hexadecimal."""
        return hashlib.sha256(self.png).hexdigest()


@dataclasses.dataclass(frozen=True)
class Turn:
    """One message of a conversation."""

    role: Literal["user", "assistant"]
    text: str
    images: tuple[Image, ...] = ()


@dataclasses.dataclass(frozen=True)
class Prompt:
    """What a model is asked: a system text, and turns of which the last is the user's.

    Attributes:
        turns: the conversation; earlier turns are examples, or answers that are to be mended.
        system: standing instructions, "" for none.
        schema: JSON schema that the answer is to follow, or None. Clients whose model cannot be
            held to a schema leave it to the text.
        sample: tells apart draws of the same prompt, where several different answers are wanted.
    """

    turns: tuple[Turn, ...]
    system: str = ""
    schema: Mapping[str, Any] | None = None
    sample: int = 0

    @classmethod
    def of(cls, text: str, *images: Image, system: str = "", **settings: Any) -> Prompt:
        """A prompt of one turn."""
        return cls((Turn("user", text, images),), system, **settings)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything in it, images by their bytes."""
        turns = [[t.role, t.text, [image.digest for image in t.images]] for t in self.turns]
        whole = [self.system, turns, self.schema, self.sample]
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Usage:
    """Tokens of one call, as its provider counted them."""

    input_tokens: int = 0
    output_tokens: int = 0


@dataclasses.dataclass(frozen=True)
class Ok:
    """An answer. It may still make no sense: parsing decides that.

    Attributes:
        text: what was said.
        usage: see `Usage`.
        complete: False where the model was stopped by `max_tokens`, so that what matters may be
            missing.
    """

    text: str
    usage: Usage = Usage()
    complete: bool = True


@dataclasses.dataclass(frozen=True)
class Refused:
    """The model, or a filter before it, would not answer; asking again would not help."""

    reason: str
    usage: Usage = Usage()


@dataclasses.dataclass(frozen=True)
class TransportError:
    """No answer arrived: the network, the server, or a request that the server rejects.

    Attributes:
        reason: what happened, without keys.
        status: HTTP status, or None where there was none.
        fatal: every further call would fail the same way (a wrong key, an unknown model).
    """

    reason: str
    status: int | None = None
    fatal: bool = False


@dataclasses.dataclass(frozen=True)
class TimedOut:
    """No answer within the batch's deadline; one that arrives later goes to the store.

    Attributes:
        seconds: the deadline.
        sent: False where the call was never made, so that it cost nothing.
    """

    seconds: float
    sent: bool = True


@dataclasses.dataclass(frozen=True)
class OverBudget:
    """Not asked: the worst that the call could cost is more than what is left."""

    reason: str


Outcome = Ok | Refused | TransportError | TimedOut | OverBudget


def _pillow() -> Any:
    try:
        from PIL import Image as pillow
    except ImportError as error:
        raise missing_extra("pillow", "vlm", "a picture for a model") from error
    return pillow


def _png(frame: np.ndarray) -> bytes:
    """A frame as PNG (ISO/IEC 15948), each row as its difference to the one above.

    Frames are drawn in few colours: this packs them as well as Pillow does in a fifth of the time,
    and zlib lets other threads run meanwhile.
    """
    height, width, _ = frame.shape
    flat = frame.reshape(height, 3 * width)
    rows = np.empty((height, 1 + 3 * width), np.uint8)
    rows[:, 0] = 2  # the filter "up"
    rows[:, 1:] = flat
    rows[1:, 1:] -= flat[:-1]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits each of RGB
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 3)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG: length, kind, data, checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
