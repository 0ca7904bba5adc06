"""A script in a model's place: it reads the text that a model would get, and follows the heuristic.

It has nothing but the prompt. That it solves an environment shows that the prompt holds what is
needed, and that the way from state to text to action is right. `--client scripted` is this.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import numpy as np

from jaxrl.agents.settings import AgentConfig
from jaxrl.agents.worlds import World
from jaxrl.errors import ConfigError
from jaxrl.vlm.messages import Prompt
from jaxrl.vlm.scripted import ScriptedClient

LINE = re.compile(r"^- (\w+): (yes|no|[-+.\de]+)", re.MULTILINE)
"""A quantity in the text of a prompt."""


def read_quantities(text: str) -> dict[str, float]:
    """The quantities that a prompt tells."""
    words = {"yes": 1.0, "no": 0.0}
    return {
        name: words[value] if value in words else float(value) for name, value in LINE.findall(text)
    }


def text_oracle(world: World, config: AgentConfig | None = None) -> ScriptedClient:
    """A client that answers in the form that is asked for.

    Args:
        world: whose heuristic is followed.
        config: the agent's settings; default `AgentConfig()`.

    Raises:
        ConfigError: there is no heuristic for this environment, or no state in the prompt.
    """
    config = config or AgentConfig()
    if world.heuristic is None:
        raise ConfigError(f"nobody has written a heuristic for {world.name}: ask a model.")
    if "state" not in config.shown:
        raise ConfigError("the script reads the state's text: type --observe text or both.")
    return ScriptedClient(_script(world, config))


def _script(world: World, config: AgentConfig) -> Callable[[Prompt], str]:
    heuristic = world.heuristic
    assert heuristic is not None
    as_json = config.answer == "json" or config.cadence == "plan" or not world.actions.discrete

    def answer(prompt: Prompt) -> str:
        found = read_quantities(prompt.turns[-1].text)
        action = np.asarray(heuristic(found))
        if world.actions.discrete:
            said = world.actions.say(action)
        else:
            said = dict(zip(world.actions.names, np.ravel(action).tolist(), strict=True))
        if config.cadence == "plan":
            plan = [{"action": said, "steps": 1}]
            return json.dumps({"reasoning": "the rule", "plan": plan, "rule": "", "steps": 0})
        if as_json:
            return json.dumps({"reasoning": "the rule", "action": said})
        return f"Let's see what the rule says: it isn't hard.\n'{said}'"

    return answer
