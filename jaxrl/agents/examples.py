"""Worked examples for a model to go by: files of what it is shown and of what it should answer.

NAME.user.txt        the text of a state, as in a prompt
NAME.png             its frame; may be left out
NAME.assistant.txt   the answer

What is left out of prompts is left out of examples: frames where the text alone is shown, the
state where the image alone is. A set for some environments comes with the package, in `worked/`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from jaxrl.agents.actions import Actions
from jaxrl.agents.answers import json_objects, read_answer
from jaxrl.agents.settings import AgentConfig
from jaxrl.agents.worlds import World
from jaxrl.errors import ConfigError
from jaxrl.vlm.messages import Image, Turn

SHIPPED = "shipped"
"""Stands for the examples that come with the package."""

WORKED = Path(__file__).parent / "worked"
"""Where those are, in a folder for each world."""

STATE_HEAD, IMAGE_HEAD = "The state after", "Image "
"""How the parts of a prompt's text begin that tell the state, and what the images are."""

PNG = b"\x89PNG\r\n\x1a\n"
"""How such a file begins."""

_TEXT, _ANSWER = ".user.txt", ".assistant.txt"


class Example(NamedTuple):
    """One worked example."""

    name: str
    user: Turn
    assistant: Turn


def worked_examples(world: World, config: AgentConfig) -> tuple[Example, ...]:
    """The examples that the settings ask for, in the order of their names.

    Raises:
        ConfigError: none come with the package for this world or for plans, or what
            `load_examples` raises.
    """
    if config.examples is None:
        return ()
    if str(config.examples) != SHIPPED:
        return load_examples(config.examples, world.actions, config)
    own = "give a folder of your own"
    if config.held is None:
        raise ConfigError(f"the shipped examples answer with one action, not with a plan: {own}.")
    if not (WORKED / world.name).is_dir():
        there = ", ".join(sorted(path.name for path in WORKED.iterdir()))
        raise ConfigError(f"no examples for {world.name} are shipped, only for {there}: {own}.")
    return load_examples(WORKED / world.name, world.actions, config)


def load_examples(folder: str | Path, actions: Actions, config: AgentConfig) -> tuple[Example, ...]:
    """The examples of a folder, in the order of their names.

    Args:
        folder: where the files are.
        actions: those that the answers must parse to; plans are left unread.
        config: what of them is shown, and the form of their answers.

    Raises:
        ConfigError: no folder, no example in it, half of one, an answer that is none, or a file
            that holds something else.
    """
    folder = Path(folder)
    needed = f"needed are NAME{_TEXT} and NAME{_ANSWER}, and NAME.png where there is a frame"
    if not folder.is_dir():
        raise ConfigError(f"no folder of examples at {folder}: {needed}.")
    names = sorted(path.name.removesuffix(_TEXT) for path in folder.glob(f"*{_TEXT}"))
    if not names:
        raise ConfigError(f"the folder {folder} has no example in it: {needed}.")
    return tuple(_load(folder, name, actions, config) for name in names)


def _load(folder: Path, name: str, actions: Actions, config: AgentConfig) -> Example:
    answer = folder / f"{name}{_ANSWER}"
    if not answer.exists():
        raise ConfigError(f"the example {name} of {folder} has no answer: write {answer.name}.")
    said = _text(answer).strip()
    if config.held is not None:
        if problem := read_answer(said, actions).problem:
            raise ConfigError(f"{answer} answers with no action: {problem}")
        if config.answer == "json" and not any(json_objects(said)):
            said = _as_json(said, actions)
    text = _shown(_text(folder / f"{name}{_TEXT}"), config)
    picture = folder / f"{name}.png"
    images = ()
    if "frame" in config.shown and picture.exists():
        images = (Image(picture.read_bytes()),)
        if not images[0].png.startswith(PNG):
            raise ConfigError(f"{picture} is no PNG: convert it, for models are told it is one.")
    if not text:
        raise ConfigError(
            f"nothing of the example {name} of {folder} is shown with --observe {config.observe}: "
            f"write in {name}{_TEXT} what is asked, or leave the example out."
        )
    return Example(name, Turn("user", text, images), Turn("assistant", said))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8 ({error}): save it as such.") from error


def _shown(text: str, config: AgentConfig) -> str:
    """The parts of an example's text that prompts have too."""
    heads = {"state": STATE_HEAD, "frame": IMAGE_HEAD}
    hidden = tuple(head for part, head in heads.items() if part not in config.shown)
    parts = text.strip().split("\n\n")
    return "\n\n".join(part for part in parts if not part.startswith(hidden))


def _as_json(said: str, actions: Actions) -> str:
    """An answer that ends with its action in quotes, as the schema has it."""
    action = actions.say(read_answer(said, actions).action)
    reasoning = said.rpartition("\n")[0].strip()
    return json.dumps({"reasoning": reasoning, "action": action}, ensure_ascii=False)
