"""`jaxrl train ALGO ENV`: trains, shows how it goes, and leaves a run folder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from jaxrl.algorithms import algorithm_entry
from jaxrl.commands.options import (
    TrainOptions,
    enable_compilation_cache,
    make_env,
    parse,
    split_target,
)
from jaxrl.environment import supports_render
from jaxrl.errors import ConfigError, MissingExtraError
from jaxrl.presets import preset
from jaxrl.records import Callback, TrainResult
from jaxrl.run.folder import (
    RunRecord,
    default_run_path,
    from_plain,
    read_run,
    summarize_result,
)
from jaxrl.run.opening import config_from
from jaxrl.run.progress import Progress
from jaxrl.run.video import rollout_frames, write_video
from jaxrl.training import train

USAGE = """usage: jaxrl train ALGO ENV [--total-steps 500k] [--seeds 8] [--out DIR] …

Trains an algorithm on an environment, all seeds in one compiled program.
`jaxrl algos` and `jaxrl envs` list both; `jaxrl train ppo CartPole-v1 --help` shows every flag.
"""


def main(argv: Sequence[str]) -> None:
    """Runs the command."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return
    algorithm_name, env_name, flags = split_target("train", argv)
    entry = algorithm_entry(algorithm_name)
    known = preset(algorithm_name, env_name)
    config = known.config if known else entry.config()
    earlier = _earlier(flags)
    if earlier is not None:
        config = config_from(earlier.config["config"], config)
    config = _from_file(flags, config)
    options, config = parse(
        f"jaxrl train {algorithm_name} {env_name}", flags, TrainOptions(), config
    )
    env, env_params = make_env(env_name, options.env_params or _env_params(earlier), known)
    settings = training_settings(options, known, earlier)
    algorithm = entry.build(env, config)

    enable_compilation_cache()
    out = options.resume or options.out or default_run_path(env_name, algorithm_name)
    progress = Progress()
    with contextlib.closing(progress):
        result = train(
            algorithm,
            env_params,
            seeds=tuple(earlier.config["seeds"]) if earlier else options.which_seeds,
            callbacks=[progress, *sinks(options, out)],
            **{"resume" if options.resume else "out": out},
            **settings,
        )
    report(result, out, gif=options.gif)


def training_settings(
    options: TrainOptions, known: Any, earlier: RunRecord | None = None
) -> dict[str, Any]:
    """The arguments of `train` that the flags, the preset and a resumed run decide.

    Raises:
        ConfigError: nothing says how many steps to train.
    """
    steps = options.total_steps or (known.total_steps if known else None)
    threshold = options.threshold
    if threshold is None and known is not None and options.eval_episodes:
        threshold = known.threshold
    settings: dict[str, Any] = dict(
        log_every=options.log_every,
        eval_every=options.eval_every,
        eval_episodes=options.eval_episodes,
        eval_greedy=options.eval_greedy,
        checkpoint_every=options.checkpoint_every,
        threshold=threshold,
        stop_at_threshold=options.stop_at_threshold,
    )
    if earlier is not None:
        steps = options.total_steps or earlier.config["total_steps"]
        per_update = earlier.config["total_steps"] // earlier.config["settings"]["total_updates"]
        for name in ("log_every", "eval_every", "checkpoint_every"):
            if settings[name] is None:
                settings[name] = earlier.config["settings"][name] * per_update
        for name in ("threshold", "eval_greedy", "eval_episodes", "stop_at_threshold"):
            settings[name] = earlier.config["settings"][name]
    if steps is None:
        raise ConfigError(
            "there is no preset for this pair, so nothing says how long to train: "
            "type --total-steps 500k, or how many you want."
        )
    return settings | {"total_steps": steps}


def sinks(options: TrainOptions, out: Path) -> list[Callback]:
    """The loggers that were asked for."""
    chosen: list[Callback] = []
    if options.tensorboard or options.wandb:
        from jaxrl.run import loggers

        if options.tensorboard:
            chosen.append(loggers.TensorBoard(out / "tensorboard"))
        if options.wandb:
            chosen.append(loggers.WandB(options.wandb))
    return chosen


def report(result: TrainResult, out: Path, *, gif: bool) -> None:
    """Prints the outcome, and films the first seed's policy into the folder."""
    summary = summarize_result(result)
    print(outcome_line(summary))
    print(
        f"trained in {result.train_seconds:.1f} s ({result.steps_per_second:,.0f} steps/s over all "
        f"seeds), compiled in {result.compile_seconds:.1f} s, {result.wall_seconds:.1f} s in all"
    )
    print(f"run folder: {out}")
    env = result.info.algorithm.env
    if not gif or not supports_render(env):
        return
    first = jax.tree.map(lambda x: x[0], result.state)
    try:
        frames = rollout_frames(
            result.info.algorithm, first, result.info.env_params, height=200, width=300
        )
        write_video(frames, out / "rollout.gif")
    except MissingExtraError as error:
        print(f"no rollout.gif: {error}")


def outcome_line(summary: dict[str, Any]) -> str:
    """The evaluation in one line, with its interval over seeds."""
    evaluation = summary["eval_return"]
    if evaluation is None:
        return "not evaluated (eval_episodes=0)"
    seeds = len(evaluation["per_seed"])
    kind = "greedy" if evaluation["greedy"] else "sampled"
    episodes = f"{evaluation['episodes']} {kind} episodes a seed"
    if evaluation["unfinished_episodes"]:
        episodes += f", {evaluation['unfinished_episodes']} of them cut off unfinished"
    if seeds == 1:
        return f"return {evaluation['iqm']:.1f} (one seed, no interval; {episodes})"
    low, high = evaluation["ci95"]
    return (
        f"return {evaluation['iqm']:.1f}, 95 % interval [{low:.1f}, {high:.1f}] "
        f"(IQM over {seeds} seeds; {episodes})"
    )


def _flag(flags: Sequence[str], name: str) -> str | None:
    """The value of a flag, looked for before the flags are parsed: defaults depend on it."""
    for i, flag in enumerate(flags):
        if flag == name and i + 1 < len(flags):
            return flags[i + 1]
        if flag.startswith(name + "="):
            return flag.partition("=")[2]
    return None


def _earlier(flags: Sequence[str]) -> RunRecord | None:
    """The run to go on with, whose settings are then the defaults."""
    folder = _flag(flags, "--resume")
    return None if folder is None else read_run(folder)


def _from_file(flags: Sequence[str], config: Any) -> Any:
    """The config with the settings of `--config FILE` in place."""
    file = _flag(flags, "--config")
    if file is None:
        return config
    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"--config {file}: there is no such file.")
    try:
        settings = from_plain(json.loads(path.read_text()))
    except json.JSONDecodeError as error:
        raise ConfigError(f"--config {file} is not JSON: {error}.") from error
    return config_from(settings.get("config", settings), config)


def _env_params(earlier: RunRecord | None) -> tuple[str, ...]:
    """The environment's parameters of the run to go on with, as flags have them."""
    params = earlier.config["env_params"] if earlier else {}
    return tuple(f"{name}={value}" for name, value in params.items())
