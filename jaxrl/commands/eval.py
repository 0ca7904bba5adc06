"""`jaxrl eval RUN`: plays whole episodes with a run's policies.

An environment may be trained in a cheaper form of itself. Its `evaluated_with`, a mapping of its
arguments, names the form in which it is to be judged; `--env-params` overrides that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxrl.commands.options import enable_compilation_cache, make_env
from jaxrl.evaluation import evaluate, moved
from jaxrl.records import EvalSummary
from jaxrl.run.folder import by_setting, over_seeds
from jaxrl.run.opening import open_run
from jaxrl.run.plots import BAND_FROM
from jaxrl.stats import iqm


@dataclasses.dataclass(frozen=True)
class EvalOptions:
    """Plays whole episodes with the policies of a run, one per lane, on the native reward."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    env: str | None = None
    """Play in this one instead of where it was trained, such as gymnasium:CartPole-v1."""
    env_params: tuple[str, ...] = ()
    """Parameters of the environment, NAME=VALUE each; where it was trained, on top of those."""
    episodes: int = 100
    """Episodes per seed."""
    stochastic: bool = False
    """Sample actions instead of playing the policy's mode."""
    seed: int = 1
    """Start states; training evaluates with 0."""
    max_steps: int | None = None
    """Steps after which to give up on an episode; default the environment's time limit."""


def main(argv: Sequence[str]) -> None:
    """Runs the command."""
    options = tyro.cli(EvalOptions, args=list(argv), prog="jaxrl eval")
    opened = open_run(options.run)
    enable_compilation_cache()
    settings: dict[str, Any] = dict(
        num_episodes=options.episodes,
        greedy=not options.stochastic,
        seed=options.seed,
        max_steps=options.max_steps,
    )
    algorithm, env_params = opened.algorithm, opened.env_params
    faithful = {} if options.env else getattr(type(algorithm.env), "evaluated_with", {})
    if options.env is not None or options.env_params or faithful:
        trained = opened.record.config
        earlier = (
            None if options.env else trained["env_arguments"] | trained["env_params"] | faithful
        )
        env, env_params = make_env(options.env or trained["env"], options.env_params, earlier)
        algorithm = moved(algorithm, env)
    summary = evaluate(algorithm, opened.policies, env_params, **settings)
    changed = {name: str(value) for name, value in faithful.items()}
    changed |= dict(setting.split("=", 1) for setting in options.env_params)
    _report(options, changed, opened.record.config, summary)


def _report(
    options: EvalOptions, changed: dict[str, str], config: dict[str, Any], summary: EvalSummary
) -> None:
    kind = "sampled" if options.stochastic else "greedy"
    where = " ".join(
        [options.env or config["env"], *(f"{name}={value}" for name, value in changed.items())]
    )
    print(f"{config['algorithm']} on {where}, {options.episodes} {kind} episodes a seed")
    labels = config["labels"] or [{} for _ in config["seeds"]]
    for seed, label, returns, lengths in zip(
        config["seeds"], labels, summary.returns, summary.lengths, strict=True
    ):
        print(
            f"  {_named(label)}seed {seed}: return {returns.mean():.1f} ± {returns.std():.1f} over "
            f"episodes ({returns.min():.1f} to {returns.max():.1f}), {lengths.mean():.1f} steps"
        )
    for label, scores in by_setting(summary.per_seed, config["labels"]):
        if scores.size >= BAND_FROM:
            low, high = over_seeds(scores)["ci95"]
            print(
                f"  {_named(label)}IQM over {scores.size} seeds {iqm(scores):.1f}, "
                f"95 % interval [{low:.1f}, {high:.1f}]"
            )
        elif scores.size > 1:
            print(f"  {_named(label)}IQM over {scores.size} seeds {iqm(scores):.1f}")
    cut = int((~summary.finished).sum())
    if cut:
        print(f"  {cut} episodes were cut off unfinished; they count with the return they had")


def _named(label: dict[str, Any]) -> str:
    """The settings of a sweep's lane in front of what is said of it."""
    return "".join(f"{name}={value}, " for name, value in label.items())
