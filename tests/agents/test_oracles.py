"""The prompt provably holds what is needed: scripts that have nothing else solve the environments.

`text_oracle` reads the text of a prompt; the embedded agent reads what a captioner says of the
pixels of a frame. Between them and the environment lies the whole path.
"""

import numpy as np
import pytest

import jaxrl
from jaxrl.agents import AgentConfig, vlm_agent
from jaxrl.agents.answers import read_answer
from jaxrl.agents.oracle import read_quantities, text_oracle
from jaxrl.agents.spoken_rules import RULES, RulesOverWords, signed
from jaxrl.agents.worlds import world_of
from jaxrl.agents.worlds.balance import ACROBOT, CARTPOLE
from jaxrl.agents.worlds.lander import LANDER
from jaxrl.errors import ConfigError
from jaxrl.evaluation import evaluation_key
from jaxrl.vlm.messages import Image, Prompt, Turn

SOLVED = {
    "CartPole-v1": 475.0,
    "Acrobot-v1": -100.0,
    "Pendulum-v1": -250.0,
    "LunarLander-v3": 200.0,
    "LunarLanderContinuous-v3": 200.0,
    "snake-v0": 10.0,  # foods, less one for the crash: the best that the paper saw was 10
    "Breakout-MinAtar": 15.0,
}
"""Mean native return over the episodes."""


def play(name, client, config, *, episodes, seed=1):
    env, params = jaxrl.make(name)
    world = world_of(env, params)
    agent = vlm_agent(env, client(world, config), config)
    limit = int(params.max_steps_in_episode)
    return agent.play(params, evaluation_key(seed), num_episodes=episodes, max_steps=limit), agent


def test_a_script_that_reads_the_text_balances_the_pole(cartpole):
    env, params = cartpole
    for answer in ("quoted", "json"):
        config = AgentConfig(observe="text", answer=answer)
        agent = vlm_agent(env, text_oracle(CARTPOLE, config), config)
        played = agent.play(params, evaluation_key(0), num_episodes=2, max_steps=80)
        assert played.episodes.returns.tolist() == [80, 80]
        assert not any(decision.invalid for decision in played.decisions)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOLVED)
def test_a_script_that_reads_the_text_solves_the_environment(name):
    config = AgentConfig(observe="text")
    played, _ = play(name, lambda world, c: text_oracle(world, c), config, episodes=8)
    assert played.episodes.returns.mean() >= SOLVED[name], played.episodes.returns
    assert not any(decision.invalid for decision in played.decisions)
    if name.startswith("LunarLander"):
        assert np.mean(played.last["at_rest"]) >= 0.75


def test_the_captions_alone_balance_the_pole_for_a_while(cartpole):
    env, params = cartpole
    config = AgentConfig(observe="image", aids=("strip",), height=100, width=150)
    agent = vlm_agent(env, RulesOverWords(CARTPOLE, config), config)
    played = agent.play(params, evaluation_key(0), num_episodes=1, max_steps=60)
    assert played.episodes.lengths.tolist() == [60]
    prompt = played.decisions[-1].prompt.turns[0]
    assert len(prompt.images) == 3 and read_quantities(prompt.text) == {}


@pytest.mark.slow
def test_the_captions_alone_keep_the_pole_up():
    config = AgentConfig(observe="image", aids=("strip",))
    played, _ = play("CartPole-v1", RulesOverWords, config, episodes=5)
    assert played.episodes.returns.mean() >= 400, played.episodes.returns


@pytest.mark.slow
def test_the_captions_alone_land():
    config = AgentConfig(observe="image", aids=("strip",), strip=4)
    played, _ = play("LunarLander-v3", RulesOverWords, config, episodes=2)
    assert played.episodes.returns.mean() >= 200, played.episodes.returns


def test_what_captions_tell_is_read_back():
    said = "The pole leans to the left by 2.5 degrees. The cart is right of the center, 10.0 % of"
    still = "The pole leans to neither side: 0.0 degrees. The cart is at the center of the track."
    now = RULES["CartPole"]([(2, still), (0, said)])
    assert now is not None
    assert now["pole_angle"] == pytest.approx(np.deg2rad(-2.5))
    assert now["pole_angular_velocity"] == pytest.approx(np.deg2rad(-2.5 / 0.04))
    assert now["cart_position"] == pytest.approx(0.24)
    assert now["cart_velocity"] == pytest.approx(0.24 / 0.04)
    assert RULES["CartPole"]([(0, "I cannot tell what this picture shows.")]) is None
    assert signed("3 m left", r"(?P<number>\d+) m (?P<side>left|right)") == -3


def test_what_the_captioner_does_not_know_it_says_again_when_it_is_asked_again():
    """An empty picture: neither the first answer nor the mended one is an action."""
    client = RulesOverWords(CARTPOLE, AgentConfig())
    first = Prompt.of("Image 1: the frame.", Image.from_array(np.zeros((40, 60, 3), np.uint8)))
    mended = Prompt((*first.turns, Turn("assistant", "Well."), Turn("user", "That is none.")))
    one, two = (outcome.text for outcome in client.ask([first, mended], timeout=1.0))
    assert one == two and one.startswith("I see: ")
    assert read_answer(one, CARTPOLE.actions).action is None


def test_a_script_needs_what_it_reads():
    with pytest.raises(ConfigError, match="reads the state's text: type --observe text"):
        text_oracle(CARTPOLE, AgentConfig(observe="image"))
    with pytest.raises(ConfigError, match="no rules for Acrobot"):
        RulesOverWords(ACROBOT, AgentConfig())
    with pytest.raises(ConfigError, match="looks at frames"):
        RulesOverWords(LANDER, AgentConfig(observe="text"))
    with pytest.raises(ConfigError, match="make no plans"):
        RulesOverWords(LANDER, AgentConfig(cadence="plan"))
