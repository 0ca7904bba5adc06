"""`jaxrl search ENV`: searches for a reward program, and leaves a folder with a report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from jaxrl.commands.options import Steps, enable_compilation_cache, make_env, parse
from jaxrl.errors import ConfigError, JaxrlError, RunFolderError
from jaxrl.run.checkpoint import write_json
from jaxrl.run.folder import default_run_path
from jaxrl.search.compare import Author, repeat, write_comparison
from jaxrl.search.propose import open_proposer
from jaxrl.search.searching import Result, trainer_for
from jaxrl.search.settings import Settings
from jaxrl.search.task import LEARNER, Task

USAGE = """usage: jaxrl search ENV [--proposer openai:gpt-4o] [--iterations 7] [--candidates 3] …

An author writes reward programs, PPO trains policies with each, and what came of them is shown to
the author, who improves them. Without --proposer the author is a grammar that needs no key.
`jaxrl search CartPoleSwing-v0 --help` shows every flag.
"""
BARS = (2000.0, 3000.0, 4000.0)
"""Levels of fitness that a comparison counts, those of ActionVLM's §4.4."""
BLIND = ("grammar", "replay")
"""Authors that look at no pictures."""


@dataclasses.dataclass(frozen=True)
class SearchOptions:
    """The flags of `jaxrl search` that are not PPO's."""

    proposer: str = "grammar"
    """Who writes: grammar, openai:MODEL, anthropic:MODEL, replay:FOLDER, or another client."""
    iterations: int = 7
    """Rounds of proposing."""
    candidates: int = 3
    """Programs a round."""
    steps: Steps = 300_000
    """Environment steps that each candidate trains for, per seed."""
    seeds: int = 5
    """Trainings of each candidate, all in one program."""
    screenshots: Literal["on", "off"] = "off"
    """Whether the author sees five pictures of the best candidate's rollout."""
    compare_screenshots: bool = False
    """Search both with and without, and compare the two."""
    repeats: int = 1
    """Searches, each with seeds of its own."""
    seed: int = 0
    """First seed of training, and of the grammar."""
    eval_every: Steps = 10_000
    """Steps between evaluations."""
    rollouts: int = 5
    """Episodes of an evaluation, per seed."""
    patience: int = 3
    """End after so many iterations in a row without a candidate that could be trained."""
    goal: str | None = None
    """The task in words; default what is known of the environment."""
    preflight: bool = True
    """Train with the environment's own reward first, on the same path."""
    films: bool = True
    """Film every candidate for the report."""
    budget: str | None = None
    """What a model may cost in all, e.g. 2usd or 100calls,500ktokens."""
    temperature: float = 1.0
    """Of a model's answers."""
    max_tokens: int = 4096
    """Longest answer of a model."""
    timeout: float = 180.0
    """Seconds that a model's answer may take."""
    out: Path | None = None
    """Folder to write; default runs/ENV/search/TIME."""
    resume: Path | None = None
    """Folder of a search to go on with, as it was asked for."""
    env_params: tuple[str, ...] = ()
    """Parameters of the environment, NAME=VALUE each."""


def main(argv: Sequence[str]) -> None:
    """Runs the command."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return
    env_name, *flags = argv
    if env_name.startswith("-"):
        raise ConfigError(
            "`jaxrl search` needs an environment first: type for instance `jaxrl search "
            "CartPoleSwing-v0`. `jaxrl envs` lists them."
        )
    flags = _with_earlier(flags)
    options, config = parse(f"jaxrl search {env_name}", flags, SearchOptions(), LEARNER)
    if options.repeats < 1:
        raise ConfigError(f"--repeats {options.repeats}: needed is at least 1.")
    env, params = make_env(env_name, options.env_params)
    task = Task.of(env, params, goal=options.goal, config=config)
    settings = settings_of(options)
    settings.check()
    enable_compilation_cache()
    folder = options.resume or options.out or default_run_path(env_name, "search")
    if options.resume is None:
        if (folder / "command.json").exists():
            raise RunFolderError(f"{folder} holds a search: give another --out, or --resume it.")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "command.json", {"env": env_name, "flags": _without_folders(flags)})
    arms = {"without screenshots": False, "with screenshots": True}
    if not options.compare_screenshots:
        arms = {name: on for name, on in arms.items() if on == settings.screenshots}
    if any(arms.values()) and options.proposer.partition(":")[0] in BLIND:
        print(f"{options.proposer} looks at no pictures: with and without is the same to it")
    trainer = trainer_for(task, settings)
    results = {
        name: repeat(
            task,
            _author(options, task),
            dataclasses.replace(settings, screenshots=on),
            folder / name.replace(" ", "-") if len(arms) > 1 else folder,
            options.repeats,
            trainer=trainer,
            say=print if len(arms) == 1 else partial(print, f"{name},"),
        )
        for name, on in arms.items()
    }
    _say(results, folder, options.repeats)


def settings_of(options: SearchOptions) -> Settings:
    """What the flags say of a search."""
    assert options.steps is not None and options.eval_every is not None
    return Settings(
        iterations=options.iterations,
        candidates=options.candidates,
        total_steps=options.steps,
        seeds=options.seeds,
        eval_every=options.eval_every,
        rollouts=options.rollouts,
        screenshots=options.screenshots == "on",
        patience=options.patience,
        seed=options.seed,
        preflight=options.preflight,
        films=options.films,
    )


def _author(options: SearchOptions, task: Task) -> Author:
    """The proposer of each repeat; a model's answers lie in the repeat's folder."""

    def author(folder: Path, index: int) -> Any:
        return open_proposer(
            options.proposer,
            task,
            seed=options.seed + index,
            sample=index,
            store=folder / "answers.sqlite",
            budget=options.budget,
            timeout=options.timeout,
            max_tokens=options.max_tokens,
            temperature=options.temperature,
        )

    return author


def _with_earlier(flags: list[str]) -> list[str]:
    """The flags with which a search to be resumed was started, and behind them those typed now."""
    if "--resume" not in flags or flags.index("--resume") + 1 >= len(flags):
        return flags
    file = Path(flags[flags.index("--resume") + 1]) / "command.json"
    if not file.exists():
        raise RunFolderError(f"{file.parent} holds no search to resume: start one with --out.")
    return [*json.loads(file.read_text(encoding="utf-8"))["flags"], *flags]


def _without_folders(flags: Sequence[str]) -> list[str]:
    """The flags without where to write, which a resumed search knows."""
    kept, skip = [], False
    for flag in flags:
        if not skip and flag != "--out" and not flag.startswith("--out="):
            kept.append(flag)
        skip = flag == "--out"
    return kept


def _say(results: dict[str, list[Result]], folder: Path, repeats: int) -> None:
    """Prints the outcome; raises if no search found anything."""
    for name, arm in results.items():
        for index, result in enumerate(arm):
            where = f"{name}, repeat {index}: " if repeats > 1 or len(results) > 1 else ""
            if result.score is None:
                print(f"{where}nothing found. {result.stopped}")
            else:
                print(f"{where}held-out fitness {result.score:.1f}, program of {result.winner}")
    if repeats > 1 or len(results) > 1:
        print(f"comparison: {write_comparison(folder, results, BARS)}")
    elif (only := next(iter(results.values()))[0]).program:
        print(f"\n{only.program}\nreport: {folder / 'report.html'}")
    if all(result.score is None for arm in results.values() for result in arm):
        last = next(iter(results.values()))[0]
        raise JaxrlError(
            f"no candidate could be trained ({last.stopped or 'every one was refused'}); the "
            f"reasons are in {folder}/**/report.html."
        )
