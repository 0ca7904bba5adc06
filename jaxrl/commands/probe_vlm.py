"""`jaxrl probe-vlm ENV --client … --prompt …`: asks about known states, before any training."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxrl.commands.asking import opened_store, prompt_about, require_answers
from jaxrl.commands.options import (
    enable_compilation_cache,
    make_env,
    named_values,
    remove_empty,
)
from jaxrl.errors import ConfigError
from jaxrl.rewards.probe import probe
from jaxrl.rewards.probe_picture import draw_probe, lines
from jaxrl.rewards.probe_report import Thresholds, require_probe
from jaxrl.vlm import prompts, specs
from jaxrl.vlm.asker import Asker


@dataclasses.dataclass(frozen=True)
class ProbeOptions:
    """Shows a model known states, asks, and says how well its answers agree with the truth."""

    env: Annotated[str, tyro.conf.Positional]
    """Environment."""
    client: str = "captioner"
    """Who is asked, e.g. openai:gpt-4o; captioner needs no key and no network."""
    prompt: str | None = None
    """Name of a shipped prompt, or the path of a .jinja file; default the one about this."""
    truth: str | None = None
    """Quantity that answers should grow with (-NAME: fall with); default the prompt's."""
    states: int = 21
    """How many pictures."""
    given: tuple[str, ...] = ()
    """Parameters of the prompt, NAME=VALUE each, e.g. 'goal=the pole stands upright'."""
    env_params: tuple[str, ...] = ()
    """Parameters of the environment, NAME=VALUE each."""
    out: Path = Path("probe")
    """Folder for probe.json, probe.png and the store of answers."""
    height: int | None = None
    """Pixels; default the environment's own size."""
    width: int | None = None
    """Pixels; default the environment's own size."""
    seed: int = 0
    """Of the states."""
    budget: str | None = None
    """What may be spent, e.g. 2usd,100calls; default no limit."""
    price: str | None = None
    """INPUT,OUTPUT in dollars per million tokens, or a file; where the model's is not known."""
    timeout: float = 120.0
    """Seconds that all answers together may take."""
    spearman: float = Thresholds.spearman
    """Least rank correlation with the truth."""
    sign_accuracy: float = Thresholds.sign_accuracy
    """Least share of right signs, where readings have one."""
    unparsed: float = Thresholds.unparsed
    """Greatest share of answers that could not be read."""
    commonest: float = Thresholds.commonest
    """Greatest share of one and the same answer."""
    force: bool = False
    """Exit with 0 although the probe failed."""


def main(argv: Sequence[str]) -> None:
    """Runs the command; a failed probe is an error unless forced."""
    options = tyro.cli(ProbeOptions, args=list(argv), prog="jaxrl probe-vlm")
    size = _size(options)
    given = named_values("--given", options.given)
    env, env_params = make_env(options.env, options.env_params)
    template = prompts.load(options.prompt or prompt_about(env, env_params))
    client = specs.client(options.client)
    enable_compilation_cache()
    with contextlib.ExitStack() as stack:
        stack.callback(client.close)
        stack.callback(remove_empty, options.out)
        asker = Asker(
            client,
            store=opened_store(options.out / "store.sqlite", stack),
            budget=options.budget,
            price=options.price,
            timeout=options.timeout,
        )
        stack.callback(asker.close)
        report, states = probe(
            env,
            env_params,
            asker,
            template,
            truth=options.truth,
            num_states=options.states,
            given=given,
            size=size,
            seed=options.seed,
            thresholds=Thresholds(
                options.spearman, options.sign_accuracy, options.unparsed, options.commonest
            ),
        )
    require_answers(asker)
    print(f"{report.client}, prompt {report.prompt}, {report.env}, truth {report.truth}")
    for line in lines(report):
        print(f"  {line}")
    counts = asker.counts
    print(f"  {counts.calls} calls, {counts.cached} answers from the store")
    print(report.save(options.out / "probe.json"))
    draw_probe(report, states, options.out / "probe.png")
    print(options.out / "probe.png")
    require_probe(report, force=options.force)


def _size(options: ProbeOptions) -> tuple[int, int] | None:
    """Height and width, or None for the environment's own."""
    if options.height is not None and options.width is not None:
        return options.height, options.width
    if options.height is not None or options.width is not None:
        raise ConfigError("--height and --width go together: give both, or neither.")
    return None
