"""What `jaxrl agent` can be told, and the agents that this makes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jaxrl.agents.settings import AIDS, AgentConfig, check_settings
from jaxrl.agents.spoken_rules import COVERING
from jaxrl.agents.worlds import World
from jaxrl.errors import ConfigError, check_range
from jaxrl.vlm.budget import Budget
from jaxrl.vlm.prices import price_of, unknown_price


@dataclasses.dataclass(frozen=True)
class AgentOptions:
    """Lets a frozen model play whole episodes: it sees the state and says what to do."""

    env: Annotated[str, tyro.conf.Positional]
    """Environment, e.g. LunarLander-v3."""
    client: str = "captioner"
    """Who is asked: openai:MODEL, anthropic:MODEL, transformers:NAME, replay:PATH; captioner for
    rules over what a captioner says of the frame, scripted for rules over the prompt's text."""
    observe: Literal["both", "image", "text"] = "both"
    """What of the state is shown: the frame, words and numbers, or both."""
    leave_out: str = ""
    """Parts of the instructions to leave out: goal, actions."""
    aids: str = "default"
    """Aids, separated by commas: upscale, grid, crop, marks, strip, facts, history, lookahead;
    none, all (that can be given); by default none, and a strip for the captioner."""
    ablate: bool = False
    """Play without aids, with each of them alone (of those in --aids, or all), and with all."""
    answer: Literal["quoted", "json"] | None = None
    """Form of an answer; default json where actions are numbers or plans, else quoted."""
    cadence: str = "1"
    """When to ask: every 1, 2, … steps, or plan."""
    examples: Path | None = None
    """Folder of worked examples to show first; shipped for those that come with the package."""
    fallback: str | None = None
    """Action to take when nothing was decided; default the one that does the least."""
    repair: bool = True
    """Ask once more after an answer that is none."""
    episodes: int = 20
    """Episodes, all side by side."""
    seed: int = 1
    """Start states and randomness; training evaluates with 0."""
    max_steps: int | None = None
    """Steps after which to give up on an episode; default the environment's time limit."""
    trained: str = "preset"
    """Trained policy to compare with: a run folder; preset trains the environment's preset once,
    into runs/ENV/ALGO/baseline; none."""
    budget: str | None = None
    """What may be spent, e.g. 2usd, 1000calls or 50ktokens."""
    price: str | None = None
    """INPUT,OUTPUT in dollars per million tokens, or a file, where the price is not known."""
    concurrency: int | None = None
    """Calls at a time; default one for each episode, 64 at most."""
    timeout: float = 60.0
    """Seconds that one batch of decisions may take, retries included."""
    max_tokens: int = 512
    """Longest answer, in tokens."""
    temperature: float = 0.0
    """0 for the likeliest answer."""
    detail: Literal["auto", "low", "high"] = "auto"
    """How closely the provider looks at images."""
    height: int = 200
    """Height of a frame, pixels."""
    width: int = 300
    """Width of a frame, pixels."""
    out: Path | None = None
    """Folder of the run; default runs/ENV/agent/TIME. One that holds a run of the same settings is
    gone on with: what was asked is in its store and is not asked again."""
    env_params: tuple[str, ...] = ()
    """Parameters of the environment, NAME=VALUE each."""
    gif: bool = True
    """Film the first episode, with the model's words under the frames."""


MOST_CALLS = 64
"""At a time, where nobody has said how many."""

SAME = ("env", "client", "seed", "episodes", "env_params", "max_tokens", "temperature", "detail")
"""Options that a folder is gone on with under."""


def variants_of(options: AgentOptions, env: Any, world: World) -> dict[str, AgentConfig]:
    """Name to settings of the agents to be played, defaults filled in.

    Raises:
        JaxrlError: what `check_settings` raises.
    """
    config = AgentConfig(
        observe=options.observe,
        leave_out=tuple(filter(None, options.leave_out.split(","))),
        answer=options.answer,
        cadence=options.cadence,
        examples=options.examples,
        fallback=options.fallback,
        repair=options.repair,
        height=options.height,
        width=options.width,
    )
    aids = tuple(filter(None, options.aids.split(",")))
    if options.aids == "default":
        aids = ("strip",) if options.client == "captioner" and options.observe != "text" else ()
    elif options.aids == "none":
        aids = ()
    elif options.aids == "all":
        aids = _possible(config, env, world, options.client)
    chosen = {options.client: aids}
    if options.ablate:
        if options.aids in ("default", "none"):
            aids = _possible(config, env, world, options.client)
        chosen = {"no aids": (), **{f"+ {aid}": (aid,) for aid in aids}, "all aids": aids}
    configs = {name: dataclasses.replace(config, aids=some) for name, some in chosen.items()}
    return {name: check_settings(one, env, world) for name, one in configs.items()}


def _possible(config: AgentConfig, env: Any, world: World, client: str) -> tuple[str, ...]:
    """The aids that can be given in an environment, and that the client can make use of."""
    useless = COVERING if client == "captioner" else frozenset()

    def fits(aid: str) -> bool:
        try:
            check_settings(dataclasses.replace(config, aids=(aid,)), env, world)
        except ConfigError:
            return False
        return True

    return tuple(aid for aid in AIDS if aid not in useless and fits(aid))


def check_numbers(options: AgentOptions) -> None:
    """Raises `ConfigError` for a number out of range, or a budget that is none."""
    check_range("--episodes", options.episodes, 1)
    check_range("--concurrency", options.concurrency, 1)
    check_range("--timeout", options.timeout, 0, open_low=True)
    if options.budget is not None:
        Budget.of(options.budget)


def check_prices(options: AgentOptions, models: set[str]) -> None:
    """Raises `ConfigError` for a budget in dollars where a model's price is not known."""
    limit = Budget.of(options.budget).limit if options.budget is not None else {}
    for model in models:
        if price_of(model, options.price) is None and "dollars" in limit:
            raise unknown_price(model)
