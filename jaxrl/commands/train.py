"""`jaxrl train ALGO ENV`: trains, shows how it goes, and leaves a run folder."""

from __future__ import annotations

import contextlib
import dataclasses
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
    remove_empty,
    split_target,
    starting_point,
)
from jaxrl.commands.vlm_options import VLMOptions, earlier_options, vlm_source
from jaxrl.devices import use_cores
from jaxrl.environment import supports_render
from jaxrl.errors import ConfigError, MissingExtraError, RunFolderError
from jaxrl.presets import Preset
from jaxrl.records import Callback, TrainResult
from jaxrl.run.folder import (
    RunRecord,
    default_run_path,
    from_plain,
    read_run,
    summarize_result,
)
from jaxrl.run.opening import config_from
from jaxrl.run.plots import BAND_FROM
from jaxrl.run.progress import Progress
from jaxrl.run.video import rollout_frames, write_video
from jaxrl.training import train

USAGE = """usage: jaxrl train ALGO ENV [--total-steps 500k] [--seeds 8] [--out DIR] …

Trains an algorithm on an environment, all seeds in one compiled program.
`jaxrl algos` and `jaxrl envs` list both; `jaxrl train ppo CartPole-v1 --help` shows every flag.
`jaxrl train grpo:notes CartPole-v1` starts from another of the algorithm's configurations.
`jaxrl train dqn LunarLander-v3 --reward vlm --client captioner` mixes in a model's reward.
"""


def main(argv: Sequence[str]) -> None:
    """Runs the command."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return
    typed, env_name, flags = split_target("train", argv)
    algorithm_name, known, config = starting_point(typed, env_name)
    entry = algorithm_entry(algorithm_name)
    earlier, asking = _earlier(flags, algorithm_name, env_name), VLMOptions()
    if earlier is None:
        defaults, env_settings = TrainOptions(), known.env_settings if known else {}
    else:
        # What is typed beside --resume comes on top, and is compared with the folder by `train`.
        known, defaults, asking = None, _options_of(earlier), earlier_options(earlier.path)
        env_settings = earlier.config["env_arguments"] | earlier.config["env_params"]
        config = config_from(earlier.config["config"], entry.config())
    config = _from_file(flags, config)
    options, config, asking = parse(
        f"jaxrl train {typed} {env_name}", flags, defaults, config, asking
    )
    if earlier is not None and options.seeds is not None:
        options = dataclasses.replace(options, seed_list=())
    which = options.which_seeds
    # Before anything makes an array.
    use_cores(which if isinstance(which, int) else len(which), config)
    env, env_params = make_env(env_name, options.env_params, env_settings)
    settings = training_settings(options, known)
    algorithm = entry.build(env, config)

    enable_compilation_cache()
    out = options.resume or options.out or default_run_path(env_name, algorithm_name)
    with contextlib.ExitStack() as stack:
        stack.callback(remove_empty, out)
        progress = Progress()
        source = vlm_source(asking, env, env_params, out, progress.console.print, stack)
        if source is not None and source.listener is not None:
            progress.more = source.listener.status
        listeners = [progress, *sinks(options, out)]
        for listener in listeners:
            stack.callback(listener.close)
        result = train(
            algorithm,
            env_params,
            seeds=which,
            reward=source,
            callbacks=listeners,
            out=options.out if options.resume else out,
            resume=options.resume,
            **settings,
        )
    report(result, out, gif=options.gif)


def training_settings(options: TrainOptions, known: Preset | None) -> dict[str, Any]:
    """The arguments of `train` that the flags and the preset decide.

    Raises:
        ConfigError: nothing says how many steps to train.
    """
    steps, threshold = options.total_steps, options.threshold
    if steps is None and known is not None:
        steps = known.total_steps
    if threshold is None and known is not None and options.eval_episodes:
        threshold = known.threshold
    if steps is None:
        raise ConfigError(
            "there is no preset for this pair, so nothing says how long to train: "
            "type --total-steps 500k, or how many you want."
        )
    return dict(
        total_steps=steps,
        log_every=options.log_every,
        eval_every=options.eval_every,
        eval_episodes=options.eval_episodes,
        eval_greedy=options.eval_greedy,
        checkpoint_every=options.checkpoint_every,
        threshold=threshold,
        stop_at_threshold=options.stop_at_threshold,
    )


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
    if seeds < BAND_FROM:
        low, high = min(evaluation["per_seed"]), max(evaluation["per_seed"])
        return (
            f"return {evaluation['iqm']:.1f}, seeds from {low:.1f} to {high:.1f} "
            f"(IQM over {seeds} seeds, too few for an interval; {episodes})"
        )
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


def _earlier(flags: Sequence[str], algorithm: str, env: str) -> RunRecord | None:
    """The run to go on with, whose settings are then the defaults.

    Raises:
        RunFolderError: it is not a run, or one of another algorithm or environment.
    """
    folder = _flag(flags, "--resume")
    if folder is None:
        return None
    record = read_run(folder)
    there = (record.config["algorithm"], record.config["env"])
    if there != (algorithm, env):
        raise RunFolderError(
            f"{folder} is a run of {' on '.join(there)}: type "
            f"`jaxrl train {' '.join(there)} --resume {folder}`."
        )
    return record


def _options_of(earlier: RunRecord) -> TrainOptions:
    """The flags that an earlier run was started with, its intervals in steps."""
    config, settings = earlier.config, earlier.config["settings"]
    per_update = config["total_steps"] // settings["total_updates"]
    every = ("log_every", "eval_every", "checkpoint_every")
    same = ("eval_episodes", "eval_greedy", "threshold", "stop_at_threshold")
    return TrainOptions(
        total_steps=config["total_steps"],
        seed_list=tuple(config["seeds"]),
        **{name: settings[name] * per_update for name in every},
        **{name: settings[name] for name in same},
    )


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
    if not isinstance(settings, dict):
        raise ConfigError(
            f"--config {file} is a {type(settings).__name__}, needed are settings by name, such as "
            '{"learning_rate": 1e-3}.'
        )
    return config_from(settings.get("config", settings), config)
