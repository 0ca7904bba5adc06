"""The flags of `jaxrl train --reward vlm`, and the reward source that they make."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from jaxrl import rewards
from jaxrl.commands.asking import opened_store, prompt_about, require_answers
from jaxrl.commands.options import named_values, remove_empty
from jaxrl.errors import ConfigError, check_range
from jaxrl.rewards.alarms import Policy
from jaxrl.rewards.frames import Frames
from jaxrl.rewards.probe import probe
from jaxrl.rewards.probe_report import ProbeReport, require_probe
from jaxrl.rewards.reward_model import Labels
from jaxrl.rewards.vlm import Mode
from jaxrl.run.checkpoint import write_json
from jaxrl.types import EnvParams, RewardSource
from jaxrl.vlm import prompts, specs
from jaxrl.vlm.asker import Asker


@dataclasses.dataclass(frozen=True)
class VLMOptions:
    """Who decides rewards. All but the first are about `--reward vlm`."""

    reward: Literal["environment", "vlm"] = "environment"
    """The environment's own reward, or mixed with what a vision-language model says."""
    alpha: float = 0.15
    """The model's share: R = (1 - α) R_e + α R_v; 0 is the environment's alone."""
    client: str = "captioner"
    """Who is asked: openai:MODEL, anthropic:MODEL, transformers:NAME, replay:PATH, captioner."""
    prompt: str | None = None
    """Prompt, by name or path; default the shipped one that is about this environment."""
    given: tuple[str, ...] = ()
    """Parameters of the prompt, NAME=VALUE each, e.g. 'goal=the pole stands upright'."""
    parser: str | None = None
    """How answers are read, by name or path; default the one the prompt is made for."""
    budget: str | None = None
    """What may be spent, e.g. 2usd, 1000calls, 50ktokens, or several with commas."""
    on_spent: Literal["mask", "stop"] = "mask"
    """When the budget is spent: go on without labels, or stop."""
    price: str | None = None
    """INPUT,OUTPUT in dollars per million tokens, or a file; where the model's is not known."""
    reward_mode: Mode = "callback"
    """callback waits for the model; lagged does not, and needs a replay; model learns from it."""
    frames: Frames | None = None
    """Which steps are judged: those that end an episode, every k-th, or both."""
    every: int = 1
    """Which steps of a lane are judged, with --frames every or both."""
    max_frames: int | None = None
    """Frames per seed and update; those beyond it have no label."""
    frame_size: tuple[int, int] = (200, 300)
    """Height and width of a frame in pixels."""
    alarm: Policy = "warn"
    """What an alarm about the answers does: warn, mask (use no further label), or stop."""
    control: str = "none"
    """In the model's place: scaling, constant:C, random:LOW:HIGH, or its answers shuffled."""
    lag: int = 4
    """Updates that a label may be late, with lagged."""
    wait: bool = False
    """Use labels exactly --lag updates later: the same numbers every time."""
    max_waiting: int = 256
    """Questions that may be open at a time, with lagged and without --wait."""
    labels: Labels = "absolute"
    """With --reward-mode model: values, or preferences between two frames."""
    num_labels: int = 400
    """With --reward-mode model: questions in all."""
    round_size: int = 40
    """With --reward-mode model: questions sent together."""
    max_tokens: int = 128
    """Longest answer; what the budget sets aside for each call."""
    temperature: float = 0.0
    """0 for the likeliest answer."""
    detail: str = "auto"
    """How closely pictures are looked at, where a provider asks: low, high, auto."""
    concurrency: int = 8
    """Calls at a time."""
    answer_timeout: float = 60.0
    """Seconds that the questions of an update may take."""
    store: Path | None = None
    """File with the answers; default OUT/vlm/store.sqlite. One of another run spares its calls."""
    force: bool = False
    """Train although the model failed the probe: what it says does not go along with the truth."""


PASSED_ON = (
    *("frames", "every", "max_frames", "alarm", "control", "lag", "wait", "max_waiting"),
    *("labels", "num_labels", "round_size"),
)
"""Flags that `rewards.vlm` takes under the same names."""


def vlm_source(
    options: VLMOptions,
    env: Any,
    env_params: EnvParams,
    out: Path,
    say: Callable[[str], None],
    stack: contextlib.ExitStack,
) -> RewardSource | None:
    """The reward source that the flags ask for; None for the environment's own.

    Nobody is asked yet. When the run begins, and all that could be refused has been, known states
    are asked about, and the run ends there if the answers do not fit the truth.

    Args:
        options: the flags.
        env, env_params: the environment.
        out: the run's folder.
        say: where alarms go.
        stack: closes what is opened here.

    Raises:
        JaxrlError: whatever one of the flags cannot be.
    """
    if options.reward == "environment":
        _refuse_idle_flags(options)
        return None
    check_range("alpha", options.alpha, 0, 1)
    if options.alpha == 0:
        return rewards.environment()
    folder = out / "vlm"
    template = prompts.load(options.prompt or prompt_about(env, env_params))
    if options.parser is not None:  # the probe is to read as training does
        template = dataclasses.replace(template, parser=options.parser)
    given = named_values("--given", options.given)
    asker = _asker(options, folder, stack)

    def begin() -> None:
        folder.mkdir(parents=True, exist_ok=True)  # the store may be elsewhere
        if template.truth and options.control in ("none", "shuffled"):
            say(f"asking {asker.client.model} about known states …")
            report, _ = probe(
                env, env_params, asker, template, given=given, size=options.frame_size
            )
            _let_pass(report, asker, folder, force=options.force)
        write_json(folder / "options.json", _jsonable(options))

    judged = rewards.vlm(
        env,
        asker,
        template,
        given=given,
        env_params=env_params,
        mode=options.reward_mode,
        size=options.frame_size,
        folder=folder,
        say=say,
        begin=begin,
        **{name: getattr(options, name) for name in PASSED_ON},
    )
    return rewards.mixture(rewards.environment(), judged, options.alpha)


def _asker(options: VLMOptions, folder: Path, stack: contextlib.ExitStack) -> Asker:
    """Who is asked, with the store in the run's folder unless another is named."""
    check_range("concurrency", options.concurrency, 1)
    check_range("answer_timeout", options.answer_timeout, 0, open_low=True)
    client = specs.client(
        options.client,
        concurrency=options.concurrency,
        max_tokens=options.max_tokens,
        temperature=options.temperature,
        detail=options.detail,
    )
    stack.callback(client.close)
    stack.callback(remove_empty, folder)
    asker = Asker(
        client,
        store=opened_store(options.store or folder / "store.sqlite", stack),
        budget=options.budget,
        price=options.price,
        on_spent=options.on_spent,
        timeout=options.answer_timeout,
    )
    stack.callback(asker.close)
    return asker


def _let_pass(report: ProbeReport, asker: Asker, folder: Path, *, force: bool) -> None:
    """Lets nobody train from answers that do not fit the truth.

    Raises:
        ConfigError: they do not, and nothing forces it.
        ModelError: the model cannot be asked at all (a wrong key).
    """
    require_answers(asker)
    report.save(folder / "probe.json")
    require_probe(report, force=force)


def earlier_options(folder: Path) -> VLMOptions:
    """The flags that a run folder was made with."""
    file = folder / "vlm" / "options.json"
    if not file.exists():
        return VLMOptions()
    kept = json.loads(file.read_text())
    for name in ("given", "frame_size"):
        kept[name] = tuple(kept[name])
    kept["store"] = None if kept["store"] is None else Path(kept["store"])
    return VLMOptions(**kept)


def _refuse_idle_flags(options: VLMOptions) -> None:
    """Flags about a model without the one that asks for it are a slip, not a wish."""
    plain = VLMOptions()
    for field in dataclasses.fields(options):
        if getattr(options, field.name) != getattr(plain, field.name):
            flag = "--" + field.name.replace("_", "-")
            raise ConfigError(
                f"{flag} is about a model's reward, and nothing asks for one: add --reward vlm, "
                f"or drop {flag}."
            )


def _jsonable(options: VLMOptions) -> dict[str, Any]:
    values = dataclasses.asdict(options)
    return values | {"store": None if options.store is None else str(options.store)}
