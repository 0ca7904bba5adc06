"""Agents of CartPole whose model is a script."""

from collections.abc import Callable
from typing import Any

import pytest

from jaxrl.agents import AgentConfig, vlm_agent
from jaxrl.agents.oracle import read_quantities
from jaxrl.evaluation import evaluation_key
from jaxrl.vlm.asker import Asker
from jaxrl.vlm.scripted import ScriptedClient


class Batches(ScriptedClient):
    """A scripted client that remembers its batches.

    Attributes:
        batches: the prompts of each call.
    """

    def __init__(self, script: Callable[[Any], Any]) -> None:
        super().__init__(script)
        self.batches: list[list[Any]] = []

    def ask(self, prompts, *, timeout, on_outcome=None):
        self.batches.append(list(prompts))
        return super().ask(prompts, timeout=timeout, on_outcome=on_outcome)


def lean(prompt) -> str:
    """Pushes to where the pole will lean: balances for long, and needs the text alone."""
    q = read_quantities(prompt.turns[0].text)
    right = q["pole_angle"] + 0.3 * q["pole_angular_velocity"] > 0
    return f"It's leaning. 'push {'right' if right else 'left'}'"


@pytest.fixture(scope="session")
def play(cartpole):
    """`play(script, episodes, steps, **settings) -> (Played, agent, client)`, in CartPole."""
    env, params = cartpole

    def play(script, *, episodes=2, steps=12, seed=0, film=False, budget=None, **settings):
        client = Batches(script)
        settings = {"observe": "text", **settings}
        agent = vlm_agent(env, Asker(client, budget=budget), AgentConfig(**settings))
        played = agent.play(
            params, evaluation_key(seed), num_episodes=episodes, max_steps=steps, film=film
        )
        return played, agent, client

    return play
