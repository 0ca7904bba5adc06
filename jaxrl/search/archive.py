"""The folder of a search. Whoever kills it at any moment finds whole iterations, or none of one.

====================  ====================================================================
`search.json`         what was asked for: environment, goal, schema, settings, author
`preflight.json`      what the environment's own reward trains on the same path
`iteration-000.json`  programs, refusals, curves and fitness of an iteration
`policies/000/`       the policies of an iteration's best candidate
`shots/`, `films/`    screenshots of each iteration's best, and a film of every candidate
`answers.sqlite`      what a model was asked and answered; nothing in it is paid twice
`result.json`         the winner, chosen and measured on rollouts of its own
`report.html`         all of it to look through, in one file
====================  ====================================================================

An iteration's file is written last, and in one step, when all that belongs to it is there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl.errors import RunFolderError
from jaxrl.run.checkpoint import load_policy, save_policy, write_json
from jaxrl.search.records import Iteration
from jaxrl.types import PolicyState
from jaxrl.vlm.messages import Image

FORMAT = 1
"""Version of the folder's layout."""
MAY_GROW = "iterations"
"""The setting that a resumed search may change: how far it goes."""


class Archive:
    """Reads and writes a search's folder."""

    def __init__(self, path: str | Path) -> None:
        """Nothing is written yet."""
        self.path = Path(path)

    def begin(self, asked: dict[str, Any], *, resume: bool) -> list[Iteration]:
        """Opens the folder, and gives the iterations that are in it.

        Args:
            asked: what is searched for, and how, as plain data.
            resume: go on with what is there.

        Raises:
            RunFolderError: a search is there and is not to be resumed, or the other way about, or
                it was asked for something else.
        """
        asked = json.loads(json.dumps({"format": FORMAT, **asked}))
        file = self.path / "search.json"
        if not resume:
            if file.exists():
                raise RunFolderError(
                    f"{self.path} holds a search already: give another --out, or --resume "
                    f"{self.path}."
                )
            (self.path / "policies").mkdir(parents=True, exist_ok=True)
            write_json(file, asked)
            return []
        if not file.exists():
            raise RunFolderError(f"{self.path} holds no search to resume: start one with --out.")
        there = json.loads(file.read_text(encoding="utf-8"))
        for name in sorted({*there, *asked} - {MAY_GROW}):
            if there.get(name) != asked.get(name):
                raise RunFolderError(
                    f"{self.path} was started with {name} {there.get(name)!r}, now it is "
                    f"{asked.get(name)!r}: resume it with its own settings, or start another."
                )
        write_json(file, asked)
        return self.history()

    def history(self) -> list[Iteration]:
        """The iterations that are whole, in order."""
        found = []
        while (file := self._iteration(len(found))).exists():
            found.append(Iteration.from_json(json.loads(file.read_text(encoding="utf-8"))))
        return found

    def add(self, iteration: Iteration) -> None:
        """Writes an iteration; with this it has been."""
        write_json(self._iteration(iteration.number), iteration.to_json())

    def read(self, name: str) -> dict[str, Any] | None:
        """A JSON file of the folder, or None."""
        file = self.path / name
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None

    def write(self, name: str, value: dict[str, Any]) -> None:
        """Writes a JSON file in one step."""
        write_json(self.path / name, value)

    def save_policies(self, iteration: int, policies: PolicyState) -> None:
        """Keeps the policies `[S]` of an iteration's best candidate."""
        save_policy(self.path / "policies" / f"{iteration:03d}", policies)

    def load_policies(self, iteration: int, like: PolicyState) -> PolicyState:
        """What `save_policies` kept; `like` has its shapes."""
        return load_policy(self.path / "policies" / f"{iteration:03d}", like)

    def save_shots(self, iteration: int, frames: np.ndarray) -> None:
        """Keeps screenshots, uint8 `[F, H, W, 3]`, of an iteration's best candidate."""
        folder = self.path / "shots"
        folder.mkdir(parents=True, exist_ok=True)
        for index, frame in enumerate(frames):
            self._shot(iteration, index).write_bytes(Image.from_array(frame).png)

    def shots(self, iteration: Iteration) -> list[Image]:
        """An iteration's screenshots, as they were sent."""
        files = [self._shot(iteration.number, index) for index in range(iteration.shots)]
        return [Image(file.read_bytes()) for file in files]

    def film(self, iteration: int, candidate: int) -> Path:
        """Where the film of a candidate is, if there is one."""
        return self.path / "films" / f"{iteration:03d}-{candidate}.gif"

    def _iteration(self, number: int) -> Path:
        return self.path / f"iteration-{number:03d}.json"

    def _shot(self, iteration: int, index: int) -> Path:
        return self.path / "shots" / f"{iteration:03d}-{index}.png"
