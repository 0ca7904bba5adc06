"""The worked examples that come with the package, for models that learn from a few of them.

    python benchmarks/worked_examples.py

A heuristic plays, and for each action one moment is kept in which it chooses it: the prompt's own
text of that moment, its frame, and an answer that gives the reasons, which are the facts that
follow from the state. They go to `jaxrl/agents/worked/`; `jaxrl agent … --examples shipped` shows
them to a model.
"""

from __future__ import annotations

import shutil

import jaxrl
from jaxrl.agents import AgentConfig, vlm_agent
from jaxrl.agents.deciding import Decision
from jaxrl.agents.examples import WORKED
from jaxrl.agents.oracle import text_oracle
from jaxrl.agents.worlds import World, world_of
from jaxrl.evaluation import evaluation_key

STEPS = {"CartPole-v1": 80, "LunarLander-v3": 240, "snake-v0": 60}
"""Environment to steps that the heuristic plays; long enough for every action."""

SEED = 11
"""None that anything is evaluated with."""

WHY = {
    "push left": "The pole is about to fall to the left, so the cart has to go left, under it.",
    "push right": "The pole is about to fall to the right, so the cart has to go right, under it.",
    "nothing": "I am upright enough and do not fall too fast for this height, so I save fuel.",
    "fire left": "I have to turn to the left, and the left engine does that.",
    "fire main": "For this height I fall fast: the main engine brakes.",
    "fire right": "I have to turn to the right, and the right engine does that.",
    "up": "Up is free and the best way on.",
    "right": "Right is free and the best way on.",
    "down": "Down is free and the best way on.",
    "left": "Left is free and the best way on.",
}
"""Action to the last sentence of its reasoning."""


def moments(name: str, steps: int) -> tuple[World, list[Decision]]:
    """What the heuristic decided in one episode."""
    env, params = jaxrl.make(name)
    world, config = world_of(env, params), AgentConfig(aids=("facts",))
    agent = vlm_agent(env, text_oracle(world, config), config)
    played = agent.play(params, evaluation_key(SEED), num_episodes=1, max_steps=steps)
    return world, played.decisions


def write(world: World, decisions: list[Decision]) -> None:
    """One example for each action: the middle one of the moments in which it was chosen."""
    folder = WORKED / world.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, action in enumerate(world.actions.names, 1):
        chosen = [decision for decision in decisions if decision.action == action]
        turn = chosen[len(chosen) // 2].prompt.turns[-1]
        state, facts, *rest = turn.text.split("\n\n")
        reasons = [line.removeprefix("- ") for line in facts.splitlines()[1:]]
        stem = f"{number}-{action.replace(' ', '-')}"
        text, said = "\n\n".join([state, *rest]), " ".join([*reasons, WHY[action]])
        (folder / f"{stem}.user.txt").write_text(f"{text}\n", encoding="utf-8")
        (folder / f"{stem}.assistant.txt").write_text(f"{said}\n'{action}'\n", encoding="utf-8")
        (folder / f"{stem}.png").write_bytes(turn.images[0].png)
        print(folder.name, stem, f"({len(chosen)} moments)")


def main() -> None:
    for name, steps in STEPS.items():
        write(*moments(name, steps))


if __name__ == "__main__":
    main()
