"""What models ask for their tokens: a dated table, and the prices that a user gives instead."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import math
import struct
from pathlib import Path
from typing import Any

from jaxrl.errors import ConfigError
from jaxrl.vlm.budget import Amount
from jaxrl.vlm.client import Sampling
from jaxrl.vlm.messages import Image, Prompt, Usage

TABLE = Path(__file__).parent / "prices.json"


@dataclasses.dataclass(frozen=True)
class Price:
    """Dollars per million tokens.

    Attributes:
        input: of what is sent.
        output: of what is answered.
        image: tokens that a picture counts as: so many, and so many more for each tile of 512
            by 512 pixels. OpenAI's numbers; nobody's who counts less is underestimated.
        counts: False for what has no tokens (the captioner): its calls cost none.
    """

    input: float
    output: float
    image: tuple[float, float] = (85, 170)
    counts: bool = True

    def of(self, usage: Usage) -> float:
        """Dollars for a call's tokens."""
        return (self.input * usage.input_tokens + self.output * usage.output_tokens) / 1e6


@dataclasses.dataclass(frozen=True)
class Prices:
    """A table of prices.

    Attributes:
        date: when it was made.
        models: price by model, as it is typed ("openai:gpt-4o"), or by a pattern ("replay:*").
    """

    date: str
    models: dict[str, Price]

    @classmethod
    def load(cls, path: str | Path = TABLE) -> Prices:
        """Reads a table such as the one that is shipped.

        Raises:
            ConfigError: there is no such file, or it holds something else.
        """
        try:
            whole = json.loads(Path(path).read_text())
            models = {name: _price(entry) for name, entry in whole["models"].items()}
            return cls(str(whole["date"]), models)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(
                f"{path} is no table of prices ({error}): needed is JSON such as "
                '{"date": "2026-11-26", "models": {"openai:gpt-4o": {"input": 2.5, "output": 10}}}'
                ", in dollars per million tokens"
            ) from error

    def of(self, model: str) -> Price | None:
        """The price of a model, or None where nobody knows it."""
        if model in self.models:
            return self.models[model]
        return next((p for name, p in self.models.items() if fnmatch.fnmatch(model, name)), None)


def price_of(model: str, given: str | Path | Price | None = None) -> Price | None:
    """The price of a model: as it was given, or as the shipped table has it.

    Args:
        model: as it was typed, e.g. "openai:gpt-4o".
        given: "INPUT,OUTPUT" in dollars per million tokens, a file such as `prices.json` (what it
            does not list is looked up in the shipped one), a price, or None.

    Raises:
        ConfigError: `given` is none of these.
    """
    if isinstance(given, Price):
        return given
    if given is not None:
        parts = str(given).split(",")
        if len(parts) == 2:
            try:
                return _price({"input": float(parts[0]), "output": float(parts[1])})
            except ValueError as error:
                raise ConfigError(
                    f"price={given!r}: needed are two numbers, INPUT,OUTPUT, in dollars per "
                    "million tokens, e.g. '2.5,10'"
                ) from error
        found = Prices.load(given).of(model)
        if found is not None:
            return found
    return Prices.load().of(model)


def unknown_price(model: str) -> ConfigError:
    """The error for a budget in dollars and a model whose price nobody knows."""
    date = Prices.load().date
    return ConfigError(
        f"a budget in dollars needs the price of {model!r}, which the table of {date} does not "
        "list: give price='INPUT,OUTPUT' in dollars per million tokens ('0,0' for a server of your "
        "own), a file such as jaxrl/vlm/prices.json, or a budget in calls or tokens"
    )


def worst_case(prompt: Prompt, sampling: Sampling, price: Price | None) -> Amount:
    """The most that one call can cost, before it is made.

    A token is at least one byte of text, and every message has a frame of a few tokens around it.
    Pictures count as much as the dearest of the known ways of counting says, after shrinking to
    2048 pixels as providers do: 85 + 170 a tile (OpenAI), width x height / 750 (Anthropic), one
    a patch of 28 pixels (Qwen-VL), 2.46 a patch of 32 (the smallest GPT-4.1).
    """
    if price is not None and not price.counts:
        return Amount(1, 0, 0.0)
    images = [image for turn in prompt.turns for image in turn.images]
    texts = [prompt.system, *(turn.text for turn in prompt.turns)]
    if prompt.schema is not None:
        texts.append(json.dumps(prompt.schema))
    image_price = (price or Price(0, 0)).image
    tokens = sum(len(text.encode(errors="replace")) + 16 for text in texts)
    tokens += sum(_image_tokens(image, *image_price) for image in images)
    dollars = None if price is None else price.of(Usage(tokens, sampling.max_tokens))
    return Amount(1, tokens + sampling.max_tokens, dollars)


def _price(entry: dict[str, Any]) -> Price:
    base, tile = entry.get("image", Price.image)
    counts = bool(entry.get("counts", True))
    price = Price(float(entry["input"]), float(entry["output"]), (float(base), float(tile)), counts)
    for value in (price.input, price.output, *price.image):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"prices are finite and not negative, given is {value}")
    return price


def _image_tokens(image: Image, base: float, tile: float) -> int:
    width, height = _size(image.png)
    shrink = min(1.0, 2048 / max(width, height, 1))
    width, height = width * shrink, height * shrink

    def cover(side: int) -> int:
        return math.ceil(width / side) * math.ceil(height / side)

    ways = (base + tile * cover(512), width * height / 750, cover(28), 2.46 * cover(32))
    return math.ceil(max(ways))


def _size(png: bytes) -> tuple[int, int]:
    """Width and height from a PNG's header; a large picture's where there is none."""
    if png[:8] == b"\x89PNG\r\n\x1a\n" and len(png) >= 24:
        return struct.unpack(">II", png[16:24])
    return 2048, 2048
