"""Who is asked, by a word: a provider's model, the captioner with rules, or a script."""

from __future__ import annotations

from typing import Any

from jaxrl.agents.oracle import text_oracle
from jaxrl.agents.settings import AgentConfig
from jaxrl.agents.worlds import World
from jaxrl.vlm.client import Client


def agent_client(
    spec: str, world: World, config: AgentConfig, *, concurrency: int, **sampling: Any
) -> Client:
    """The client of that name, as an agent uses it.

    Args:
        spec: as `jaxrl.vlm.specs.client` takes it; `captioner` is followed by rules over its
            words, and `scripted` is the heuristic over the prompt's text.
        world: the agent's.
        config: the agent's.
        concurrency: the most calls at a time, for those that call a server.
        **sampling: fields of `Sampling`.

    Raises:
        UnknownNameError: no such client.
        ConfigError: the captioner or the script cannot play in this world.
    """
    if spec == "scripted":
        return text_oracle(world, config)
    if spec == "captioner":
        from jaxrl.agents.spoken_rules import RulesOverWords

        return RulesOverWords(world, config)
    from jaxrl.vlm.specs import client

    return client(spec, concurrency=concurrency, **sampling)
