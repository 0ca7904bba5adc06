"""What several commands share: how flags are read, and what they mean."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxrl.algorithms import algorithm_entry
from jaxrl.environment import make
from jaxrl.errors import ConfigError
from jaxrl.presets import Preset, preset

_SUFFIX = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def parse_steps(text: str) -> int:
    """`500k`, `1.5M`, `2e5` or `4096` as a number of steps.

    Raises:
        ConfigError: anything else.
    """
    number = r"([0-9]+(?:\.[0-9]*)?(?:e[0-9]{1,2})?)([kmg]?)"
    match = re.fullmatch(number, text.strip().lower().replace("_", ""))
    if match is None:
        raise ConfigError(f"{text!r} is not a number of steps: type 4096, 500k, 1.5M or 2e5.")
    return round(float(match[1]) * _SUFFIX[match[2]])


Steps = Annotated[
    int | None,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="STEPS",
        instance_from_str=lambda texts: parse_steps(texts[0]),
        is_instance=lambda value: value is None or isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    ),
]


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """The flags of `jaxrl train` and `jaxrl sweep` that are not the algorithm's own."""

    total_steps: Steps = None
    """Environment steps per seed, e.g. 500k; default the preset's."""
    seeds: int | None = None
    """How many seeds, 0 and on, all in one program; default 1."""
    seed_list: tuple[int, ...] = ()
    """Which seeds, instead of how many."""
    out: Path | None = None
    """Folder of the run; default runs/ENV/ALGO/TIME."""
    resume: Path | None = None
    """Run folder to go on from, at its last checkpoint."""
    config: Path | None = None
    """JSON file with settings of the algorithm (a run's config.json will do)."""
    env_params: tuple[str, ...] = ()
    """Parameters of the environment, NAME=VALUE each."""
    log_every: Steps = None
    """Steps between log points; default a hundredth of the run."""
    eval_every: Steps = None
    """Steps between evaluations; default a twentieth of the run; 0 for the end only."""
    eval_episodes: int = 100
    """Whole episodes per seed and evaluation; 0 for none."""
    eval_greedy: bool = True
    """Evaluate the policy's mode instead of sampling from it."""
    checkpoint_every: Steps = None
    """Steps between checkpoints; default a tenth of the run; 0 for the end only."""
    threshold: float | None = None
    """Return whose first reaching is noted; default the preset's."""
    stop_at_threshold: bool = False
    """Stop once every seed's evaluation has reached the threshold."""
    tensorboard: bool = False
    """Also write TensorBoard logs, into the run's folder."""
    wandb: str | None = None
    """Also log to this project of Weights & Biases."""
    gif: bool = True
    """Film the first seed's policy at the end, where the environment can be drawn."""

    @property
    def which_seeds(self) -> int | tuple[int, ...]:
        """What `train` takes for `seeds`.

        Raises:
            ConfigError: both ways of saying it.
        """
        if self.seeds is not None and self.seed_list:
            raise ConfigError("--seeds and --seed-list both say which seeds: give one of them.")
        return self.seed_list or (1 if self.seeds is None else self.seeds)


def parse(command: str, argv: Sequence[str], *defaults: Any) -> tuple[Any, ...]:
    """Reads flags of several dataclasses, all without prefixes, on top of given defaults.

    Args:
        command: what was typed before the flags, for the help text.
        argv: the flags.
        defaults: one of each: the command's own options, the algorithm's config, and so on.

    Returns:
        The same, as typed.
    """
    names = ("run", "algorithm", "model")[: len(defaults)]
    kinds = [tyro.conf.OmitArgPrefixes[type(default)] for default in defaults]
    flags = dataclasses.make_dataclass("Flags", list(zip(names, kinds, strict=True)))
    parsed: Any = tyro.cli(
        flags, args=list(argv), prog=command, default=flags(*defaults), description=""
    )
    return tuple(getattr(parsed, name) for name in names)


def split_target(command: str, argv: Sequence[str]) -> tuple[str, str, list[str]]:
    """The algorithm and the environment that a command line begins with, and the rest.

    Raises:
        ConfigError: one of them is missing.
    """
    names = []
    rest = list(argv)
    while rest and len(names) < 2 and not rest[0].startswith("-"):
        names.append(rest.pop(0))
    if len(names) < 2:
        raise ConfigError(
            f"`jaxrl {command}` needs an algorithm and an environment first: type for instance "
            f"`jaxrl {command} ppo CartPole-v1`. `jaxrl algos` and `jaxrl envs` list both."
        )
    return names[0], names[1], rest


def starting_point(algorithm: str, env: str) -> tuple[str, Preset | None, Any]:
    """The algorithm, the preset and the config that a command line begins from.

    Args:
        algorithm: as typed: a name, or `NAME:VARIANT` such as `grpo:notes`.
        env: as typed.

    Raises:
        UnknownNameError: no algorithm, or no variant of it, of that name.
    """
    name, _, variant = algorithm.partition(":")
    config = algorithm_entry(name).variant(name, variant)
    known = preset(name, env, *filter(None, [variant]))
    return name, known, known.config if known else config


def make_env(
    name: str, settings: Sequence[str], earlier: Mapping[str, Any] | None = None
) -> tuple[Any, Any]:
    """The environment of that name with `NAME=VALUE` settings, on top of a preset's or a run's."""
    return make(name, **(dict(earlier or {}) | named_values("--env-params", settings)))


def named_values(flag: str, settings: Sequence[str]) -> dict[str, Any]:
    """The values of a flag that takes `NAME=VALUE` any number of times.

    Raises:
        ConfigError: one is not of that form.
    """
    values = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"{flag} {setting!r}: type NAME=VALUE.")
        values[name] = parse_value(text)
    return values


def parse_value(text: str) -> Any:
    """A number, truth value or None where the text is one, else the text."""
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def remove_empty(folder: Path) -> None:
    """Removes a folder that nothing was written to, because a setting was refused."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def enable_compilation_cache() -> Path:
    """Lets jax keep compiled programs on disk, unless the user has set this up himself."""
    import jax

    configured = jax.config.jax_compilation_cache_dir
    if configured:
        return Path(configured)
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "jaxrl" / "xla"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    return folder
