"""The command line: `jaxrl COMMAND …`.

This module only chooses. Each command is a module of `jaxrl.commands`, imported when it is asked
for, so that `jaxrl --help` answers before jax could have been loaded.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "train": "train an algorithm on an environment, many seeds in one program",
    "sweep": "train every combination of a grid of settings",
    "search": "search for a reward program, with a model or a grammar as its author",
    "eval": "evaluate a run's policies over whole episodes",
    "plot": "draw the learning curves of one or several runs",
    "agent": "let a vision-language model play, beside baselines",
    "render": "film a run's policy, as a GIF or a video",
    "probe-vlm": "ask a model about known states, before it rewards anything",
    "envs": "list the environments",
    "algos": "list the algorithms, and what their presets reach",
    "doctor": "show versions, devices and caches, and what is missing",
}

USAGE = """usage: jaxrl COMMAND …

Reinforcement learning in JAX, end to end on the accelerator.

{commands}

  jaxrl train ppo CartPole-v1 --seeds 8            train the preset, write runs/…
  jaxrl train ppo CartPole-v1 --help               every setting of PPO
  jaxrl COMMAND --help                             the flags of a command
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; the exit status is 0, 2 for a mistake of the user's, 130 if interrupted."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0
    if argv[0] == "--version":
        from jaxrl import __version__

        print(__version__)
        return 0
    name, *rest = argv
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean 'jaxrl {near[0]}'?" if near else "`jaxrl --help` lists them."
        print(f"error: unknown command {name!r}: {hint}", file=sys.stderr)
        return 2
    return _run(name, rest)


def _run(name: str, argv: list[str]) -> int:
    command = importlib.import_module(f"jaxrl.commands.{name.replace('-', '_')}")
    from jaxrl.errors import JaxrlError

    try:
        command.main(argv)
    except JaxrlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return USAGE.format(commands="\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
