"""What an agent is shown, how it is to answer, and how often it is asked."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

from jaxrl.agents.worlds import World
from jaxrl.environment import env_name, supports_describe, supports_render
from jaxrl.errors import ConfigError, SpaceError, check_range, unknown_name
from jaxrl_envs.draw import MIN_SIZE

PARTS = ("goal", "actions", "state", "frame")
"""What a prompt is made of; `observe` decides on the last two."""

FRAME_AIDS = ("upscale", "grid", "crop", "marks", "strip")
STATE_AIDS = ("facts", "history", "lookahead")
AIDS = FRAME_AIDS + STATE_AIDS
"""Aids against blindness and against a weak sense of time; see `docs/vlm_agent.md`."""

OBSERVE = {"both": (), "image": ("state",), "text": ("frame",)}
"""What each way of observing leaves out."""

LEFT_OUT, ANSWERS = ("goal", "actions"), ("quoted", "json")
"""Parts of the instructions that can be left out, and forms of an answer."""

Answer = Literal["quoted", "json"]


@dataclasses.dataclass(frozen=True)
class AgentConfig:
    """Settings of an agent. Each part of the prompt can be left out, each aid switched on."""

    observe: Literal["both", "image", "text"] = "both"
    """What of the state is shown: the frame, its quantities in words and numbers, or both."""
    leave_out: tuple[Literal["goal", "actions"], ...] = ()
    """Parts of the instructions to leave out."""
    aids: tuple[str, ...] = ()
    """Aids: upscale, grid, crop, marks, strip of the frame; facts, history, lookahead."""
    answer: Answer | None = None
    """Form of an answer: the action in quotes after free reasoning, or JSON; default json where
    actions are numbers, else quoted."""
    cadence: int | str = 1
    """When to ask: every 1, 2, … steps with the action held, or `plan`."""
    examples: Path | None = None
    """Folder of worked examples to show first: NAME.user.txt, NAME.assistant.txt, NAME.png; or
    `shipped`, for those that come with the package."""
    fallback: str | None = None
    """Action to take after two answers that are none; default the one that does the least."""
    repair: bool = True
    """Ask once more after an answer that is none, saying what was wrong with it."""
    height: int = 200
    """Height of a frame, pixels."""
    width: int = 300
    """Width of a frame, pixels."""
    strip: int = 3
    """Frames in a strip, the last one included."""
    history: int = 4
    """Last steps whose effect is told."""
    plan_limit: int = 50
    """Steps that one plan may last."""

    @property
    def shown(self) -> set[str]:
        """The parts of the prompt."""
        return set(PARTS) - set(OBSERVE[self.observe]) - set(self.leave_out)

    @property
    def held(self) -> int | None:
        """For how many steps an answer is held; None for plans."""
        return None if self.cadence == "plan" else int(self.cadence)


def check_settings(config: AgentConfig, env: Any, world: World) -> AgentConfig:
    """The settings with defaults filled in, if they fit the environment.

    Raises:
        ConfigError: settings out of range or that do not fit together.
        SpaceError: a discrete form of answer for continuous actions.
        UnknownNameError: an aid, a fallback or another word that does not exist.
    """
    name = env_name(env)
    _check_words(config)
    check_range("height", config.height, MIN_SIZE)
    check_range("width", config.width, MIN_SIZE)
    check_range("strip", config.strip, 2)
    check_range("history", config.history, 1)
    check_range("plan_limit", config.plan_limit, 1)
    cadence = str(config.cadence)
    if cadence != "plan" and not (cadence.isdecimal() and int(cadence) > 0):
        raise ConfigError(
            f"cadence={config.cadence!r}: type a number of steps, such as 1 or 4, or 'plan'."
        )
    _check_seen(config, env, name)
    for aid in config.aids:
        if why := _cannot(aid, config, env, world):
            raise ConfigError(f"the aid {aid!r} cannot be given in {name}: {why}.")
    return _with_defaults(config, world, name)


def _check_words(config: AgentConfig) -> None:
    for kind, given, known in (
        ("way to observe", (config.observe,), OBSERVE),
        ("part to leave out", config.leave_out, LEFT_OUT),
        ("form of an answer", (config.answer or "quoted",), ANSWERS),
        ("aid", config.aids, AIDS),
    ):
        for word in given:
            if word not in known:
                raise unknown_name(kind, word, known)


def _check_seen(config: AgentConfig, env: Any, name: str) -> None:
    if not supports_render(env) and not supports_describe(env):
        raise ConfigError(
            f"{name} can neither be drawn nor describes its state: there is nothing to show a "
            "model. Write a `render` or a `describe` for it in a wrapper."
        )
    if "frame" in config.shown and not supports_render(env):
        raise ConfigError(f"{name} cannot be drawn: type --observe text.")
    if "state" in config.shown and not supports_describe(env):
        raise ConfigError(f"{name} does not describe its state: type --observe image.")
    if config.held is None and not supports_describe(env):
        raise ConfigError(
            f"{name} does not describe its state, which the rules of plans are written in: type "
            "--cadence 1."
        )


def _cannot(aid: str, config: AgentConfig, env: Any, world: World) -> str:
    """Why an aid cannot be given, or nothing."""
    if aid in FRAME_AIDS and "frame" not in config.shown:
        return "it is one of the frame, which --observe text leaves out"
    if aid in ("crop", "marks") and world.objects is None:
        return "where things are in its frames is not known"
    if aid == "facts" and world.facts is None:
        return "nobody has written down what follows from its quantities"
    if aid in STATE_AIDS and not supports_describe(env):
        return "it does not describe its state"
    if aid == "lookahead" and getattr(env, "on_host", False):
        return "it lives on the host, where a step cannot be taken back"
    if aid == "lookahead" and len(world.actions.numbers) > 2:
        return "it has more than two numbers to try"
    return ""


def _with_defaults(config: AgentConfig, world: World, name: str) -> AgentConfig:
    discrete = world.actions.discrete
    if config.answer == "quoted" and not discrete:
        raise SpaceError(
            f"the actions of {name} are numbers ({', '.join(world.actions.names)}), which cannot "
            "be answered by a name in quotes: type --answer json."
        )
    if config.cadence == "plan" and config.answer == "quoted":
        raise ConfigError("a plan is more than one action in quotes: type --answer json.")
    if config.fallback is not None:
        if not discrete:
            raise ConfigError(
                f"fallback={config.fallback!r}: the actions of {name} have no names; it falls "
                f"back to {world.actions.say(world.idle)}."
            )
        world.actions.index(config.fallback)
    json_needed = not discrete or config.cadence == "plan"
    return dataclasses.replace(
        config, answer=config.answer or ("json" if json_needed else "quoted")
    )
