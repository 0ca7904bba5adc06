"""An agent whose policy is a model that is asked: no training, the reward only scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxrl.agents.deciding import Decider
from jaxrl.agents.examples import worked_examples
from jaxrl.agents.lockstep import Lockstep, Played
from jaxrl.agents.prompting import Prompter
from jaxrl.agents.settings import AgentConfig, check_settings
from jaxrl.agents.worlds import World, world_of
from jaxrl.environment import check_env
from jaxrl.errors import ConfigError
from jaxrl.types import EnvParams, Key
from jaxrl.vlm.asker import Asker
from jaxrl.vlm.client import Client


@dataclasses.dataclass
class VlmAgent:
    """A policy on the host, which `evaluate` and `rollout_frames` play as they play algorithms.

    Attributes:
        name: shown in tables.
        env: the environment it was built for.
        asker: through whom the model is asked; `asker.counts` says what that took.
        prompter: writes its prompts.
    """

    name: str
    env: Any
    asker: Asker
    prompter: Prompter
    _decider: Decider
    _lockstep: tuple[EnvParams, Lockstep] | None = None

    @property
    def config(self) -> AgentConfig:
        """Its settings, defaults filled in."""
        return self.prompter.config

    @property
    def world(self) -> World:
        """What it is told about the environment."""
        return self.prompter.world

    def play(
        self,
        env_params: EnvParams,
        key: Key,
        *,
        num_episodes: int,
        max_steps: int,
        film: bool = False,
        told: Callable[[int], None] | None = None,
    ) -> Played:
        """Plays whole episodes side by side; see `lockstep`.

        Args:
            env_params: the environment's parameters.
            key: start states and randomness, as `evaluation.play_episodes` takes them.
            num_episodes: `E`.
            max_steps: where to give up on an episode.
            film: keep the states of the first one.
            told: hears after every decision how many episodes are under way.

        Raises:
            ModelError: nothing more can be asked (a wrong key, a budget that is spent), or nobody
                has answered for long.
        """
        if self._lockstep is None or self._lockstep[0] is not env_params:
            self._lockstep = env_params, Lockstep(self.env, env_params, self._decider)
        return self._lockstep[1].play(key, num_episodes, max_steps, film=film, told=told)


def vlm_agent(
    env: Any,
    client: Client | Asker,
    config: AgentConfig | None = None,
    *,
    env_params: EnvParams | None = None,
    name: str = "",
) -> VlmAgent:
    """An agent that asks a model what to do.

    Args:
        env: the environment.
        client: the model, or an `Asker` with a store and a budget in front of it.
        config: settings; default `AgentConfig()`.
        env_params: default the environment's own; what its spaces are read from.
        name: shown in tables; default the model's.

    Raises:
        ConfigError: settings that do not fit together or the environment, or an empty folder of
            examples.
        SpaceError: a discrete form of answer for continuous actions.
        UnknownNameError: an aid or a fallback that does not exist.
    """
    check_env(env, env_params)
    params = env.default_params if env_params is None else env_params
    prompter = prompter_of(env, config or AgentConfig(), params)
    asker = client if isinstance(client, Asker) else Asker(client)
    plans = prompter.config.held is None
    decider = Decider(prompter, asker, _rule_compiler(env, params, plans))
    return VlmAgent(name or asker.client.model, env, asker, prompter, decider)


def prompter_of(env: Any, config: AgentConfig, env_params: EnvParams) -> Prompter:
    """What writes an agent's prompts; knows whether its settings can be followed, and asks nobody.

    Raises:
        ConfigError, SpaceError, UnknownNameError: as `vlm_agent`.
    """
    world = world_of(env, env_params)
    config = check_settings(config, env, world)
    units = dict(getattr(env, "quantities", {}))
    return Prompter(world, config, units, worked_examples(world, config))


def _rule_compiler(env: Any, params: EnvParams, plans: bool) -> Any:
    """What makes a rule of a model's text, where plans are asked for.

    Raises:
        ConfigError: the environment does not describe the quantities of rules.
    """
    if not plans:
        return _no_rules
    from jaxrl.rewards.program import compile_rule, schema_of

    schema = schema_of(env, params)
    return lambda source: compile_rule(source, schema)


def _no_rules(source: str) -> Any:
    raise ConfigError(f"a rule where no plan was asked for: {source[:80]!r}")
