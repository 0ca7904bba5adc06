"""`jaxrl agent ENV --client …`: a model plays, beside what it is to be compared with."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jaxrl.agents.agent import VlmAgent, vlm_agent
from jaxrl.agents.baselines import baselines, scores_of
from jaxrl.agents.clients import agent_client
from jaxrl.agents.lockstep import Played
from jaxrl.agents.report import Asked, row, table
from jaxrl.agents.settings import AIDS, AgentConfig, check_settings
from jaxrl.agents.trace import write_decisions, write_page
from jaxrl.agents.worlds import World, world_of
from jaxrl.commands.options import enable_compilation_cache, make_env
from jaxrl.commands.trained import trained_policy
from jaxrl.environment import env_name, episode_limit, supports_render
from jaxrl.errors import ConfigError, RunFolderError
from jaxrl.evaluation import evaluation_key
from jaxrl.run.agent_film import write_film
from jaxrl.run.checkpoint import write_json
from jaxrl.run.folder import default_run_path
from jaxrl.vlm.asker import Asker


@dataclasses.dataclass(frozen=True)
class AgentOptions:
    """Lets a frozen model play whole episodes: it sees the state and says what to do."""

    env: Annotated[str, tyro.conf.Positional]
    """Environment, e.g. LunarLander-v3."""
    client: str = "captioner"
    """Who is asked: openai:MODEL, anthropic:MODEL, transformers:NAME, replay:PATH; captioner for
    rules over what a captioner says of the frame, scripted for rules over the prompt's text."""
    observe: Literal["both", "image", "text"] = "both"
    """What of the state is shown: the frame, words and numbers, or both."""
    leave_out: str = ""
    """Parts of the instructions to leave out: goal, actions."""
    aids: str = "default"
    """Aids, separated by commas: upscale, grid, crop, marks, strip, facts, history, lookahead;
    none, all (that can be given); by default none, and a strip for the captioner."""
    ablate: bool = False
    """Play without aids, with each of them alone (of those in --aids, or all), and with all."""
    answer: Literal["quoted", "json"] | None = None
    """Form of an answer; default json where actions are numbers or plans, else quoted."""
    cadence: str = "1"
    """When to ask: every 1, 2, … steps, or plan."""
    examples: Path | None = None
    """Folder of worked examples to show first; shipped for those that come with the package."""
    fallback: str | None = None
    """Action to take when nothing was decided; default the one that does the least."""
    repair: bool = True
    """Ask once more after an answer that is none."""
    episodes: int = 20
    """Episodes, all side by side."""
    seed: int = 1
    """Start states and randomness; training evaluates with 0."""
    max_steps: int | None = None
    """Steps after which to give up on an episode; default the environment's time limit."""
    trained: str = "preset"
    """Trained policy to compare with: a run folder; preset trains the environment's preset once,
    into runs/ENV/ALGO/baseline; none."""
    budget: str | None = None
    """What may be spent, e.g. 2usd, 1000calls or 50ktokens."""
    timeout: float = 60.0
    """Seconds that one batch of decisions may take, retries included."""
    max_tokens: int = 512
    """Longest answer, in tokens."""
    temperature: float = 0.0
    """0 for the likeliest answer."""
    detail: Literal["auto", "low", "high"] = "auto"
    """How closely the provider looks at images."""
    height: int = 200
    """Height of a frame, pixels."""
    width: int = 300
    """Width of a frame, pixels."""
    out: Path | None = None
    """Folder of the run; default runs/ENV/agent/TIME. One that holds a run of the same settings is
    gone on with: what was asked is in its store and is not asked again."""
    env_params: tuple[str, ...] = ()
    """Parameters of the environment, NAME=VALUE each."""
    gif: bool = True
    """Film the first episode, with the model's words under the frames."""


SAME = ("env", "client", "seed", "episodes", "env_params", "max_tokens", "temperature", "detail")
"""Options that a folder is gone on with under."""


def main(argv: Sequence[str]) -> None:
    """Runs the command."""
    options = tyro.cli(AgentOptions, args=list(argv), prog="jaxrl agent")
    enable_compilation_cache()
    env, env_params = make_env(options.env, options.env_params)
    world = world_of(env, env_params)
    limit = episode_limit(env, env_params, options.max_steps, "--max-steps")
    variants = {
        name: check_settings(config, env, world)
        for name, config in _variants(options, env, world).items()
    }
    # Before the folder is made: a model or a baseline that is not there is found here.
    askers = {name: _client(options, world, config) for name, config in variants.items()}
    trained = trained_policy(options.trained, env)
    out = _folder(options, env_name(env))
    print(f"{options.client} on {options.env}, {options.episodes} episodes; folder {out}")
    settings: dict[str, Any] = dict(num_episodes=options.episodes, max_steps=limit)
    others = baselines(env, env_params, world, seed=options.seed, trained=trained, **settings)
    reference = {"random": others[0]} | ({"trained": others[-1]} if trained else {})
    played: dict[str, tuple[VlmAgent, Played, Asked]] = {}
    for name, config in variants.items():
        with contextlib.closing(_asker(options, askers[name], out)) as asker:
            agent = vlm_agent(env, asker, config, env_params=env_params, name=name)
            film = options.gif and supports_render(env)
            result = agent.play(env_params, evaluation_key(options.seed), film=film, **settings)
            asked = Asked.of(result.decisions, asker.counts, options.episodes)
        played[name] = agent, result, asked
        _write_trace(out, name, len(variants) > 1, result, env, env_params)
    scores = [scores_of(name, result) for name, (_, result, _) in played.items()]
    rows = [row(one, world, reference) for one in [*scores, *others]]
    _report(out, options, rows, {name: asked for name, (_, _, asked) in played.items()})
    if trained is None:
        print(f"no trained policy to compare with (--trained {options.trained})")


def _variants(options: AgentOptions, env: Any, world: World) -> dict[str, AgentConfig]:
    """Name to settings of the agents to be played."""
    config = AgentConfig(
        observe=options.observe,
        leave_out=tuple(filter(None, options.leave_out.split(","))),
        answer=options.answer,
        cadence=options.cadence,
        examples=options.examples,
        fallback=options.fallback,
        repair=options.repair,
        height=options.height,
        width=options.width,
    )
    for part in config.leave_out:
        if part not in ("goal", "actions"):
            raise ConfigError(f"--leave-out {part}: needed is goal or actions, or both.")
    aids = tuple(filter(None, options.aids.split(",")))
    if options.aids == "default":
        aids = ("strip",) if options.client == "captioner" and options.observe != "text" else ()
    elif options.aids == "none":
        aids = ()
    elif options.aids == "all":
        aids = _possible(config, env, world)
    if not options.ablate:
        return {options.client: dataclasses.replace(config, aids=aids)}
    aids = aids if options.aids not in ("default", "none") else _possible(config, env, world)
    chosen = {"no aids": (), **{f"+ {aid}": (aid,) for aid in aids}, "all aids": aids}
    return {name: dataclasses.replace(config, aids=some) for name, some in chosen.items()}


def _possible(config: AgentConfig, env: Any, world: World) -> tuple[str, ...]:
    """The aids that can be given in an environment."""

    def fits(aid: str) -> bool:
        try:
            check_settings(dataclasses.replace(config, aids=(aid,)), env, world)
        except ConfigError:
            return False
        return True

    return tuple(aid for aid in AIDS if fits(aid))


def _client(options: AgentOptions, world: World, config: AgentConfig) -> Any:
    sampling = dict(
        max_tokens=options.max_tokens, temperature=options.temperature, detail=options.detail
    )
    return agent_client(options.client, world, config, **sampling)


def _asker(options: AgentOptions, client: Any, out: Path) -> Asker:
    (out / "vlm").mkdir(parents=True, exist_ok=True)
    return Asker(
        client,
        store=out / "vlm" / "store.sqlite",
        budget=options.budget,
        timeout=options.timeout,
    )


def _folder(options: AgentOptions, name: str) -> Path:
    """The folder of the run, with its `config.json`.

    Raises:
        RunFolderError: it holds another run.
    """
    out = options.out or default_run_path(name, "agent")
    asked = {k: _plain(v) for k, v in dataclasses.asdict(options).items()}
    path = out / "config.json"
    if path.exists():
        import json

        earlier = json.loads(path.read_text())
        different = [k for k in SAME if earlier.get("agent", {}).get(k) != asked[k]]
        if different:
            raise RunFolderError(
                f"{out} holds a run with another {', '.join(different)}: give another --out."
            )
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, {"agent": asked})
    return out


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
