"""`jaxrl envs`: what there is to train on."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from jaxrl import spaces
from jaxrl.environment import (
    WORLDS,
    gymnax_names,
    make,
    registered,
    supports_describe,
    supports_render,
)
from jaxrl.presets import PRESETS, known_as

DOWNLOADS = {"MNISTBandit-bsuite"}
"""Listed without being made: a listing is no reason to download a data set."""


def main(argv: Sequence[str]) -> None:
    """Runs the command; `argv` may ask for help only."""
    if argv:
        print("usage: jaxrl envs\n\nLists the environments, where they come from and what they do.")
        return
    table = Table(title="environments")
    for column in ("name", "from", "actions", "observation", "render", "describe", "presets"):
        table.add_column(column)
    ours = registered()
    names = [*sorted(ours), *(f"gymnax:{n}" if n in ours else n for n in gymnax_names())]
    for name in names:
        if name in DOWNLOADS:
            table.add_row(name, "gymnax", "downloads its data when it is made", *"––––")
            continue
        env, params = make(name)
        presets = [algorithm for algorithm, *rest in PRESETS if rest == [known_as(name)]]
        table.add_row(
            name,
            type(env).__module__.split(".")[0],
            spaces.describe(env.action_space(params)),
            spaces.describe(env.observation_space(params)),
            "yes" if supports_render(env) else "–",
            "yes" if supports_describe(env) else "–",
            ", ".join(presets) or "–",
        )
    Console().print(table)
    print(f"other libraries' own, by their names there: {', '.join(f'{w}:NAME' for w in WORLDS)}")
