"""The flags of `jaxrl train --reward vlm`, and the reward source that they make."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax

from jaxrl import rewards
from jaxrl.commands.options import parse_value
from jaxrl.environment import supports_describe
from jaxrl.errors import ConfigError, ModelError
from jaxrl.rewards.alarms import Policy
from jaxrl.rewards.frames import Frames
from jaxrl.rewards.probe import probe, require_probe
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
    """File with the model's price, where it is not known."""
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


def vlm_source(
    options: VLMOptions,
    env: Any,
    env_params: EnvParams,
    out: Path,
    say: Callable[[str], None],
    stack: contextlib.ExitStack,
) -> RewardSource | None:
    """The reward source that the flags ask for; None for the environment's own.

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
    if options.alpha == 0:
        return rewards.environment()
    folder = out / "vlm"
    prompt = options.prompt or _prompt_about(env, env_params)
    template = prompts.load(prompt)
    sampling: dict[str, Any] = dict(max_tokens=options.max_tokens, detail=options.detail)
    client = specs.client(
        options.client,
        concurrency=options.concurrency,
        temperature=options.temperature,
        **sampling,
    )
    store = options.store or folder / "store.sqlite"
    for place in (folder, store.parent):
        place.mkdir(parents=True, exist_ok=True)
    asker = Asker(
        client,
        store=store,
        budget=options.budget,
        price=options.price,
        on_spent=options.on_spent,
        timeout=options.answer_timeout,
    )
    stack.callback(asker.close)
    given = dict(_pair(text) for text in options.given)
    judged = rewards.vlm(
        env,
        asker,
        template,
        options.parser,
        given=given,
        env_params=env_params,
        frames=options.frames,
        every=options.every,
        mode=options.reward_mode,
        max_frames=options.max_frames,
        size=options.frame_size,
        alarm=options.alarm,
        control=options.control,
        lag=options.lag,
        wait=options.wait,
        max_waiting=options.max_waiting,
        labels=options.labels,
        num_labels=options.num_labels,
        round_size=options.round_size,
        folder=folder,
        say=say,
    )
    if template.truth and options.control in ("none", "shuffled"):
        _probe_first(options, env, env_params, asker, template, given, folder)
    write_json(folder / "options.json", _jsonable(options))
    return rewards.mixture(rewards.environment(), judged, options.alpha)


def _probe_first(
    options: VLMOptions,
    env: Any,
    env_params: EnvParams,
    asker: Asker,
    template: prompts.Template,
    given: dict[str, Any],
    folder: Path,
) -> None:
    """Asks about known states, and lets nobody train from answers that do not fit the truth.

    Raises:
        ConfigError: they do not, and nothing forces it.
        ModelError: the model cannot be asked at all (a wrong key).
    """
    size = options.frame_size
    report, _ = probe(env, env_params, asker, template, given=given, size=size)
    if asker.fatal is not None:
        raise ModelError(f"the model cannot be asked: {asker.fatal.reason}")
    report.save(folder / "probe.json")
    require_probe(report, force=options.force)


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


def _prompt_about(env: Any, env_params: EnvParams) -> str:
    """The first shipped prompt that is about this environment's quantities.

    Raises:
        ConfigError: none is.
    """
    described: set[str] = set()
    if supports_describe(env):
        _, state = jax.eval_shape(env.reset_env, jax.random.key(0), env_params)
        described = set(jax.eval_shape(env.describe, state, env_params))
    for name in prompts.names():
        template = prompts.load(name)
        fits = template.needs and set(template.needs) <= described
        if fits and template.images == 1 and not template.parameters:
            return name
    raise ConfigError(
        f"no shipped prompt is about {env.name}: give --prompt, a file of your own or one of "
        f"{', '.join(prompts.names())}."
    )


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--given {text!r}: type NAME=VALUE.")
    return name, parse_value(value)


def _jsonable(options: VLMOptions) -> dict[str, Any]:
    values = dataclasses.asdict(options)
    return values | {"store": None if options.store is None else str(options.store)}
