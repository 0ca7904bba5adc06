"""Worked examples for a model to go by: files of what it is shown and of what it should answer.

NAME.user.txt        the text of a state, as in a prompt
NAME.png             its frame; may be left out
NAME.assistant.txt   the answer, in the form that is asked for
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from jaxrl.agents.actions import Actions
from jaxrl.agents.answers import read_answer
from jaxrl.errors import ConfigError
from jaxrl.vlm.messages import Image, Turn

_TEXT, _ANSWER = ".user.txt", ".assistant.txt"


class Example(NamedTuple):
    """One worked example."""

    name: str
    user: Turn
    assistant: Turn


def load_examples(folder: str | Path, actions: Actions | None) -> tuple[Example, ...]:
    """The examples of a folder, in the order of their names.

    Args:
        folder: where the files are.
        actions: those that the answers must parse to; None leaves the answers unread (plans).

    Raises:
        ConfigError: no folder, no example in it, half of one, or an answer that is none.
    """
    folder = Path(folder)
    needed = f"needed are NAME{_TEXT} and NAME{_ANSWER}, and NAME.png where there is a frame"
    if not folder.is_dir():
        raise ConfigError(f"no folder of examples at {folder}: {needed}.")
    names = sorted(path.name.removesuffix(_TEXT) for path in folder.glob(f"*{_TEXT}"))
    if not names:
        raise ConfigError(f"the folder {folder} has no example in it: {needed}.")
    return tuple(_load(folder, name, actions) for name in names)


def _load(folder: Path, name: str, actions: Actions | None) -> Example:
    answer = folder / f"{name}{_ANSWER}"
    if not answer.exists():
        raise ConfigError(f"the example {name} of {folder} has no answer: write {answer.name}.")
    said = answer.read_text(encoding="utf-8").strip()
    if actions is not None and (problem := read_answer(said, actions).problem):
        raise ConfigError(f"{answer} answers with no action: {problem}")
    picture = folder / f"{name}.png"
    images = (Image(picture.read_bytes()),) if picture.exists() else ()
    text = (folder / f"{name}{_TEXT}").read_text(encoding="utf-8").strip()
    return Example(name, Turn("user", text, images), Turn("assistant", said))
