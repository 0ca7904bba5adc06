"""What is said of each environment: recognised by structure, marks where things are, facts true."""

import jax
import numpy as np
import pytest

import jaxrl
from jaxrl.agents.actions import Actions, Choice, Number, numbered
from jaxrl.agents.worlds import Ending, world_of
from jaxrl.environment import registered
from jaxrl.errors import SpaceError, UnknownNameError
from jaxrl_envs import Box, Discrete

NAMES = {
    "CartPole-v1": "CartPole",
    "Acrobot-v1": "Acrobot",
    "Pendulum-v1": "Pendulum",
    "LunarLander-v3": "LunarLander",
    "LunarLanderContinuous-v3": "LunarLanderContinuous",
    "snake-v0": "snake",
    "Breakout-MinAtar": "Breakout",
}


def unchecked(name):
    """`make` without its checks, which trace the lander for seconds."""
    factory = registered().get(name)
    env = jaxrl.make(name)[0] if factory is None else factory()
    return env, env.default_params


SCENES = ["CartPole-v1", "LunarLander-v3", "snake-v0", "Breakout-MinAtar"]
SLOW_SCENES = [pytest.param(name, marks=pytest.mark.slow) for name in ("Acrobot-v1", "Pendulum-v1")]


@pytest.fixture(scope="module", params=[*SCENES, *SLOW_SCENES])
def scene(request):
    """`(name, world, quantities, frame)` of a start state."""
    env, params = unchecked(request.param)
    world = world_of(env, params)

    def look(key):
        _, state = env.reset_env(key, params)
        extra = {} if world.measure is None else world.measure(state, params)
        frame = env.render(state, params, height=200, width=300)
        return {**env.describe(state, params), **extra}, frame

    quantities, frame = jax.device_get(jax.jit(look)(jax.random.key(3)))
    return request.param, world, {k: v.item() for k, v in quantities.items()}, frame


@pytest.mark.parametrize("name", NAMES)
def test_each_environment_is_recognised(name):
    env, params = unchecked(name)
    assert world_of(env, params).name == NAMES[name]


def test_each_world_has_a_heuristic_for_its_actions(scene):
    name, world, quantities, _ = scene
    assert world.name == NAMES[name] and set(world.needs) <= set(quantities)
    action = np.asarray(world.heuristic(quantities))
    assert world.actions.say(action)
    end = Ending(quantities, 0.0, 1, terminated=False)
    assert world.outcome(end) in world.outcomes


def test_facts_are_sentences(scene):
    _, world, quantities, _ = scene
    facts = world.facts(quantities)
    assert facts and all(fact.endswith(".") for fact in facts)
    if world.name == "snake":
        assert "Your tail is 3 cells up, seen from your head." in facts
        assert "You head down; going up is ignored." in facts
        assert "Going left: 7 free cells." in facts


COLORS = {
    "cart": (0, 0, 0),
    "pole tip": (202, 152, 101),
    "joint": (204, 204, 0),
    "free end": (0, 204, 204),
    "axle": (0, 0, 0),
    "rod's end": (204, 77, 77),
    "lander": (128, 102, 230),
    "pad": (255, 255, 255),
    "head": (210, 50, 50),
    "tail": (36, 76, 36),
    "food": (50, 90, 220),
    "paddle": (92, 205, 110),
    "ball": (222, 120, 70),  # it starts among the bricks, which lie over it
}


def test_marks_are_where_things_are(scene):
    """Within three pixels of each mark there is a pixel of the thing's colour."""
    _, world, quantities, frame = scene
    marks = world.objects(quantities, *frame.shape[:2])
    for label, x, y in marks:
        row, column = round(y - 0.5), round(x - 0.5)
        near = frame[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4].astype(int)
        distance = np.abs(near - np.array(COLORS[label])).sum(-1).min()
        assert distance < 60, (label, x, y, near.reshape(-1, 3))


def test_an_environment_that_nobody_described_has_numbered_actions():
    env, params = jaxrl.make("RobotMaze-v0")
    world = world_of(env, params)
    assert world.actions.names[:2] == ("action 0", "action 1") and world.idle == "action 0"
    numbers = numbered(Box(-1.0, 2.0, (2,)))
    assert numbers.names == ("a0", "a1") and numbers.numbers[1].high == 2.0
    assert numbered(Discrete(3)).names[2] == "action 2"
    with pytest.raises(SpaceError, match="have no bounds"):
        numbered(Box(-np.inf, np.inf, (1,)))


def test_actions_are_said_and_found_by_name():
    choices = Actions((Choice("Go-left", "", ("left",)), Choice("go right", "")))
    assert choices.index("go left") == 0 and choices.index("GO_RIGHT") == 1
    with pytest.raises(UnknownNameError, match="did you mean 'go right'"):
        choices.index("go rigth")
    numbers = Actions(numbers=(Number("main", "", -1, 1), Number("side", "", -1, 1)))
    assert numbers.say(np.float32([0.5, -1])) == "main=0.5 side=-1"
    assert numbers.schema()["properties"]["action"]["required"] == ["main", "side"]
