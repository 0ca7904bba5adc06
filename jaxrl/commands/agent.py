"""`jaxrl agent ENV --client …`: a model plays, beside what it is to be compared with."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tyro

from jaxrl.agents.agent import prompter_of, vlm_agent
from jaxrl.agents.baselines import baselines, scores_of
from jaxrl.agents.clients import agent_client
from jaxrl.agents.lockstep import Played
from jaxrl.agents.report import Asked, row, table
from jaxrl.agents.settings import AgentConfig
from jaxrl.agents.trace import write_decisions, write_page
from jaxrl.agents.worlds import World, world_of
from jaxrl.commands.agent_options import (
    MOST_CALLS,
    SAME,
    AgentOptions,
    check_numbers,
    check_prices,
    variants_of,
)
from jaxrl.commands.options import enable_compilation_cache, make_env
from jaxrl.commands.trained import trained_policy
from jaxrl.environment import env_name, episode_limit, supports_render
from jaxrl.errors import RunFolderError
from jaxrl.evaluation import evaluation_key
from jaxrl.run.agent_film import write_film
from jaxrl.run.checkpoint import write_json
from jaxrl.run.folder import default_run_path
from jaxrl.vlm.asker import Asker

EVERY = 10.0
"""Seconds between two lines about how playing goes."""


def main(argv: Sequence[str]) -> None:
    """Runs the command."""
    options = tyro.cli(AgentOptions, args=list(argv), prog="jaxrl agent")
    check_numbers(options)
    enable_compilation_cache()
    env, env_params = make_env(options.env, options.env_params)
    world = world_of(env, env_params)
    limit = episode_limit(env, env_params, options.max_steps, "--max-steps")
    variants = variants_of(options, env, world)
    clients = {name: _client(options, world, config) for name, config in variants.items()}
    for config in variants.values():
        prompter_of(env, config, env_params)  # reads the examples, for one
    check_prices(options, {client.model for client in clients.values()})
    _check_folder(options)
    # It may take minutes: whatever else is wrong has been said by now.
    trained = trained_policy(options.trained, env)
    out = options.out or default_run_path(env_name(env), "agent")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "config.json", {"agent": _asked(options)})
    print(f"{options.client} on {options.env}, {options.episodes} episodes; folder {out}")
    settings: dict[str, Any] = dict(num_episodes=options.episodes, max_steps=limit)
    others = baselines(env, env_params, world, seed=options.seed, trained=trained, **settings)
    reference = {"random": others[0]} | ({"trained": others[-1]} if trained else {})
    played: dict[str, tuple[Played, Asked]] = {}
    for name, config in variants.items():
        with contextlib.closing(_asker(options, clients[name], out)) as asker:
            agent = vlm_agent(env, asker, config, env_params=env_params, name=name)
            film = options.gif and supports_render(env)
            key, told = evaluation_key(options.seed), _teller(asker, options.episodes, name)
            result = agent.play(env_params, key, film=film, told=told, **settings)
            asked = Asked.of(result.decisions, asker.counts, options.episodes)
        played[name] = result, asked
        _write_trace(out, name, len(variants) > 1, result, env, env_params)
    scores = [scores_of(name, result) for name, (result, _) in played.items()]
    rows = [row(one, world, reference) for one in [*scores, *others]]
    _report(out, options, rows, {name: asked for name, (_, asked) in played.items()})
    if trained is None:
        print(f"no trained policy to compare with (--trained {options.trained})")


def _client(options: AgentOptions, world: World, config: AgentConfig) -> Any:
    concurrency = options.concurrency or min(options.episodes, MOST_CALLS)
    sampling = dict(
        max_tokens=options.max_tokens, temperature=options.temperature, detail=options.detail
    )
    return agent_client(options.client, world, config, concurrency=concurrency, **sampling)


def _asker(options: AgentOptions, client: Any, out: Path) -> Asker:
    (out / "vlm").mkdir(parents=True, exist_ok=True)
    return Asker(
        client,
        store=out / "vlm" / "store.sqlite",
        budget=options.budget,
        price=options.price,
        timeout=options.timeout,
    )


def _teller(asker: Asker, episodes: int, name: str) -> Callable[[int], None]:
    """Says now and then how playing goes, for it may take hours and cost money."""
    last = time.monotonic()

    def tell(running: int) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            print(
                f"{name}: {running} of {episodes} episodes under way; {asker.status()}", flush=True
            )

    return tell


def _check_folder(options: AgentOptions) -> None:
    """Raises `RunFolderError` where the folder holds another run."""
    path = Path() if options.out is None else options.out / "config.json"
    if not path.is_file():
        return
    earlier, asked = json.loads(path.read_text()).get("agent", {}), _asked(options)
    if different := [name for name in SAME if earlier.get(name) != asked[name]]:
        raise RunFolderError(
            f"{options.out} holds a run with another {', '.join(different)}: give another --out."
        )


def _asked(options: AgentOptions) -> dict[str, Any]:
    return {name: _plain(value) for name, value in dataclasses.asdict(options).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _write_trace(
    out: Path, name: str, several: bool, result: Played, env: Any, env_params: Any
) -> None:
    folder = out / name.replace("+ ", "").replace(" ", "-") if several else out
    folder.mkdir(exist_ok=True)
    write_decisions(result.decisions, folder / "decisions.jsonl")
    first = [decision for decision in result.decisions if decision.lane == 0]
    write_page(first, folder / "episode.html", f"{env_name(env)}, the first episode: {name}")
    if result.filmed:
        write_film(result, env, env_params, folder / "episode.gif")


def _report(
    out: Path, options: AgentOptions, rows: list[dict[str, Any]], asked: dict[str, Asked]
) -> None:
    text = table(rows)
    print(f"\n{text}\n")
    for name, one in asked.items():
        print("\n".join([f"{name}:", *(f"  {line}" for line in one.lines())]))
    (out / "table.md").write_text(text + "\n", encoding="utf-8")
    taken = {name: dataclasses.asdict(one) for name, one in asked.items()}
    write_json(out / "result.json", {"rows": rows, "asked": taken})
    print(f"run folder: {out}")
