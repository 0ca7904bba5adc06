"""What a model is shown and told: each part can be left out, each aid switched on."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import jaxrl
from jaxrl.agents import AIDS, AgentConfig, vlm_agent
from jaxrl.agents.aids import crop, draw_grid, draw_marks, pictures, shrink
from jaxrl.agents.answers import read_answer
from jaxrl.agents.examples import load_examples, worked_examples
from jaxrl.agents.prompting import Prospect, Sight
from jaxrl.agents.worlds import Mark
from jaxrl.agents.worlds.balance import ACROBOT, CARTPOLE
from jaxrl.agents.worlds.boards import SNAKE
from jaxrl.agents.worlds.lander import LANDER
from jaxrl.errors import ConfigError, SpaceError, UnknownNameError
from jaxrl.vlm.messages import Image
from jaxrl.vlm.scripted import ScriptedClient

EXAMPLE = {"1.user.txt": "state", "1.assistant.txt": "'push left'"}
SMALL = {"height": 40, "width": 60}


def build(env, **settings):
    return vlm_agent(env, ScriptedClient(lambda _: ""), AgentConfig(**settings))


def sight(frames=()):
    """What is seen of a cart after two steps."""
    names = (*CARTPOLE.needs, "pole_angle_degrees")
    quantities = dict(zip(names, (0.1, -0.2, 0.05, 0.3, 2.865), strict=True))
    return Sight(2, quantities, [("the frame", Image(b"png"))] if frames else ())


def prompt_of(env, **settings):
    """The prompt of `sight` under these settings."""
    agent = build(env, **settings)
    return agent.prompter.prompt(sight("frame" in agent.config.shown))


def test_each_part_can_be_left_out(cartpole):
    both = prompt_of(cartpole[0])
    assert "Keep the pole upright" in both.system and "'push left': pushes" in both.system
    text = both.turns[0].text
    assert "- pole_angle_degrees: 2.865 deg (the same tilt in degrees)" in text
    assert "The state after 2 steps" in text and len(both.turns[0].images) == 1
    image_only = prompt_of(cartpole[0], observe="image")
    assert "pole_angle" not in image_only.turns[0].text and image_only.turns[0].images
    text_only = prompt_of(cartpole[0], observe="text")
    assert "pole_angle" in text_only.turns[0].text and not text_only.turns[0].images
    bare = prompt_of(cartpole[0], observe="text", leave_out=("goal", "actions"))
    assert "upright" not in bare.system and "pushes" not in bare.system
    assert "'push left', 'push right'" in bare.system, "how to answer is always said"
    held = prompt_of(cartpole[0], cadence="4", answer="json")
    assert "is done for 4 steps" in held.system and held.schema is not None


def test_all_aids_together(play):
    settings = {"observe": "both", "aids": AIDS, "strip": 3, "history": 2, **SMALL}
    _, _, client = play(lambda _: "'push left'", episodes=1, steps=3, **settings)
    turn = client.asked[-1].turns[0]
    sizes = [Pillow.open(io.BytesIO(image.png)).size for image in turn.images]
    assert sizes == [(120, 80)] * 3 + [(60, 40)]
    assert "Image 1: the frame after 0 steps, 2 ago." in turn.text
    assert "Image 3: the frame now, after 2 steps." in turn.text
    assert "Image 4: a part of it, around the cart." in turn.text
    assert turn.text.count("- step ") == 2 and "- step 1, push left: " in turn.text
    assert "cart_velocity" in turn.text.split("- step 1")[1]
    assert "| push right | " in turn.text and "The pole leans" in turn.text


def test_the_table_ahead_has_units_but_for_yes_and_no(cartpole):
    agent = build(cartpole[0], observe="text", aids=("lookahead",))
    agent.prompter.units["fallen"] = ("bool", "whether it lies")
    agent.prompter.key_quantities = ("pole_angle", "fallen")
    prospect = Prospect("push left", {"pole_angle": 0.1, "fallen": False}, 1.0, False)
    text = agent.prompter.text(dataclasses.replace(sight(), prospects=(prospect,)))
    assert "| action | pole_angle (rad) | fallen | reward | the end |" in text
    assert "| push left | 0.1 | no | 1 | no |" in text


def test_the_table_ahead_holds_what_then_happens(play):
    _, _, client = play(
        lambda _: "'push left'", episodes=1, steps=2, aids=("lookahead",), observe="text"
    )
    ahead = next(
        line for line in client.asked[0].turns[0].text.splitlines() if "| push left" in line
    )
    angle = ahead.split("|")[4].strip()
    assert f"- pole_angle: {angle} rad" in client.asked[1].turns[0].text


def test_pictures_on_the_host():
    frame = np.zeros((80, 120, 3), np.uint8)
    assert shrink(frame + 10, 2).shape == (40, 60, 3) and (shrink(frame + 10, 2) == 10).all()
    part, left, top = crop(frame, Mark("x", 119.0, 2.0), 40, 60)
    assert part.shape == (40, 60, 3) and (left, top) == (60, 0)
    marked = draw_marks(frame, [Mark("x", 60.0, 40.0)])
    assert marked[36:45, 56:65].any() and not marked[40, 60].any() and not frame.any()
    assert draw_grid(frame, None)[:, 15].any() and draw_grid(frame, 10)[:, 28].any()
    large = np.zeros((400, 600, 3), np.uint8)
    mark = [Mark("x", 300.0, 200.0)]
    letters = [draw_marks(f, m)[..., 0].any(1).sum() for f, m in ((large, mark), (frame, []))]
    assert letters[0] > 25 and letters[1] == 0, "letters grow with the frame"


def test_labels_of_things_side_by_side_do_not_cover_each_other():
    frame = np.zeros((200, 300, 3), np.uint8)
    tail, head = Mark("tail", 100.0, 100.0), Mark("head", 106.0, 100.0)
    one, both = (draw_marks(frame, marks)[..., 0] for marks in ([tail], [tail, head]))
    right = slice(112, 140)  # of the rings
    assert both[:, right].any(1).sum() > 1.5 * one[:, right].any(1).sum()
    assert (both[:, right] > 0).sum() > 1.7 * (one[:, right] > 0).sum()


def test_a_crop_marks_only_what_is_in_it():
    """The cart is in the middle, the end of the pole above the window."""
    config = AgentConfig(aids=("crop", "marks"), height=80, width=120)
    frame = np.zeros((160, 240, 3), np.uint8)
    quantities = {"cart_position": 0.0, "pole_angle": 0.0}
    _, (_, closer) = pictures(frame, quantities, CARTPOLE, config)
    tip = CARTPOLE.objects(quantities, 160, 240)[1]
    assert tip.y < 160 - 80, "it lies above the window"
    assert closer[10:].any() and not closer[:10].any()


def test_labels_of_a_narrow_board_do_not_touch():
    board = draw_grid(np.zeros((150, 225, 3), np.uint8), 15)
    columns = (board[1:8, 37:187, 0] > 0).any(0).reshape(15, 10)
    labelled = columns[:, 2:9].any(1)  # without the lines of the grid
    assert labelled[0] and labelled[14] and labelled.sum() == 8
    assert board[:, :37].any(), "rows have their numbers beside the board"


def test_examples_are_turns_before_the_question(play, tmp_path):
    for name, said in (("1", "It leans left.\n'push left'"), ("2", "'push right'")):
        (tmp_path / f"{name}.user.txt").write_text(f"state {name}")
        (tmp_path / f"{name}.assistant.txt").write_text(said)
    buffer = io.BytesIO()
    Pillow.fromarray(np.zeros((4, 4, 3), np.uint8)).save(buffer, "PNG")
    (tmp_path / "1.png").write_bytes(buffer.getvalue())
    said, settings = "It leans left.\n'push left'", {"observe": "both", **SMALL}
    played, _, client = play(lambda _: said, episodes=1, steps=2, examples=tmp_path, **settings)
    turns = client.asked[0].turns
    assert [turn.role for turn in turns] == ["user", "assistant"] * 2 + ["user"]
    assert turns[0].images[0].png == buffer.getvalue() and not turns[2].images
    assert all(decision.copied for decision in played.decisions)
    other, _, _ = play(lambda _: "My own: 'push left'", episodes=1, steps=2, examples=tmp_path)
    assert not any(decision.copied for decision in other.decisions)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "has no example in it"),
        ({"1.user.txt": "state"}, "has no answer: write 1.assistant.txt"),
        ({"1.user.txt": "s", "1.assistant.txt": "'jump'"}, "answers with no action"),
        ({**EXAMPLE, "1.png": "GIF89a"}, "1.png is no PNG"),
        ({**EXAMPLE, "1.user.txt": "\xff"}, "1.user.txt is no text in UTF-8"),
        ({**EXAMPLE, "1.user.txt": "Image 1: x."}, "nothing of the example 1 of .* is shown"),
    ],
)
def test_a_folder_of_examples_has_to_hold_some(tmp_path, files, said):
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="latin-1")
    config = AgentConfig(observe="text" if "is shown" in said else "both")
    with pytest.raises(ConfigError, match=said):
        load_examples(tmp_path, CARTPOLE.actions, config)
    with pytest.raises(ConfigError, match="no folder of examples"):
        load_examples(tmp_path / "none", CARTPOLE.actions, AgentConfig())


@pytest.mark.parametrize("world", [CARTPOLE, LANDER, SNAKE], ids=lambda world: world.name)
def test_shipped_examples_show_every_action_and_only_what_prompts_show(world):
    def shown(**settings):
        return worked_examples(world, AgentConfig(examples=Path("shipped"), **settings))

    both = shown()
    answers = [read_answer(example.assistant.text, world.actions).action for example in both]
    assert answers == list(range(len(world.actions.names)))
    assert all(e.user.images and "The state after" in e.user.text for e in both)
    assert all(e.user.images[0].to_array().shape == (200, 300, 3) for e in both)
    for example in shown(observe="text"):
        assert not example.user.images and "Image" not in example.user.text
    for example in shown(observe="image"):
        assert example.user.text == "Image 1: the frame.\n\nWhat do you do?"
    as_json = [json.loads(example.assistant.text) for example in shown(answer="json")]
    assert [answer["action"] for answer in as_json] == list(world.actions.names)
    assert all(answer["reasoning"] for answer in as_json)


def test_where_no_examples_are_shipped():
    config = AgentConfig(examples=Path("shipped"))
    with pytest.raises(ConfigError, match="for Acrobot are shipped, only for CartPole, Lunar"):
        worked_examples(ACROBOT, config)
    with pytest.raises(ConfigError, match="not with a plan"):
        worked_examples(CARTPOLE, dataclasses.replace(config, cadence="plan"))


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"aids": ("grids",)}, UnknownNameError, "did you mean 'grid'"),
        ({"aids": ("grid",), "observe": "text"}, ConfigError, "--observe text leaves out"),
        ({"cadence": "often"}, ConfigError, "such as 1 or 4, or 'plan'"),
        ({"cadence": "0"}, ConfigError, "type a number of steps"),
        ({"cadence": "plan", "answer": "quoted"}, ConfigError, "type --answer json"),
        ({"fallback": "jump"}, UnknownNameError, "unknown action 'jump'"),
        ({"height": 3}, ConfigError, "height=3 is out of range"),
    ],
)
def test_settings_that_do_not_fit_are_refused_at_once(cartpole, settings, error, said):
    with pytest.raises(error, match=said):
        build(cartpole[0], **settings)


class Without:
    """An environment that lacks something."""

    def __init__(self, name, env):
        self._name, self._env = name, env

    def __getattr__(self, name):
        if name == self._name:
            raise AttributeError(name)
        return getattr(self._env, name)


def test_what_an_environment_cannot_give_is_refused(cartpole):
    pendulum, _ = jaxrl.make("Pendulum-v1")
    with pytest.raises(SpaceError, match=r"numbers \(torque\).*type --answer json"):
        build(pendulum, answer="quoted")
    with pytest.raises(ConfigError, match="the actions of Pendulum-v1 have no names"):
        build(pendulum, fallback="none")
    maze, _ = jaxrl.make("RobotMaze-v0")
    with pytest.raises(ConfigError, match="aid 'facts' cannot be given in RobotMaze-v0"):
        build(maze, aids=("facts",))
    with pytest.raises(ConfigError, match="cannot be drawn: type --observe text"):
        build(Without("render", cartpole[0]))
    with pytest.raises(ConfigError, match="does not describe its state: type --observe image"):
        build(Without("describe", cartpole[0]), observe="text")
    gymnasium, _ = jaxrl.make("gymnasium:CartPole-v1")
    with pytest.raises(ConfigError, match="nothing to show a model"):
        build(gymnasium)


def test_words_that_settings_do_not_know_are_refused(cartpole):
    for settings in ({"observe": "picture"}, {"answer": "yaml"}, {"leave_out": ("frame",)}):
        (word,) = (w if isinstance(w, str) else w[0] for w in settings.values())
        with pytest.raises(UnknownNameError, match=f"unknown .* '{word}'"):
            build(cartpole[0], **settings)
    with pytest.raises(ConfigError, match="type a number of steps"):
        build(cartpole[0], cadence=0)
    assert build(cartpole[0], cadence=4).config.held == 4


def test_defaults_follow_the_actions(cartpole):
    assert build(cartpole[0]).config.answer == "quoted"
    assert build(cartpole[0], cadence="plan").config.answer == "json"
    pendulum, _ = jaxrl.make("Pendulum-v1")
    agent = build(pendulum)
    assert agent.config.answer == "json" and agent.prompter.schema == agent.world.actions.schema()
    assert dataclasses.replace(agent.config, observe="image").shown == {"goal", "actions", "frame"}
