"""What models say, and what a reader takes from it: never an action that nobody chose."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from jaxrl.agents.answers import json_objects, read_answer
from jaxrl.agents.worlds.balance import ACROBOT, CARTPOLE, PENDULUM
from jaxrl.agents.worlds.boards import BREAKOUT, SNAKE
from jaxrl.agents.worlds.lander import LANDER, LANDER_CONTINUOUS

CORPUS = json.loads((Path(__file__).parents[1] / "corpus/answers/answers.json").read_text())
WORLDS = {
    "lander": LANDER,
    "lander_continuous": LANDER_CONTINUOUS,
    "snake": SNAKE,
    "cartpole": CARTPOLE,
    "breakout": BREAKOUT,
    "pendulum": PENDULUM,
    "acrobot": ACROBOT,
}


def said(case):
    """What the parser reads in a case of the corpus, in words, or None."""
    actions = WORLDS[case["world"]].actions
    reading = read_answer(case["text"], actions)
    assert (reading.action is None) == bool(reading.problem)
    return None if reading.action is None else actions.say(reading.action)


@pytest.mark.parametrize("case", CORPUS, ids=lambda c: f"{c['kind']}: {c['text'][-25:]!r}")
def test_an_answer_is_read_as_a_reader_would_or_not_at_all(case):
    assert said(case) in (case["reads"], None)


def test_few_answers_that_a_reader_understands_are_left_unread():
    assert len(CORPUS) >= 60
    readable = [case for case in CORPUS if case["reads"] is not None]
    missed = [case["text"] for case in readable if said(case) is None]
    assert len(readable) >= 40 and len(missed) <= 0.05 * len(readable), missed


def test_the_papers_figure_5_parses_to_fire_main():
    (figure,) = [case for case in CORPUS if "figure 5" in case["kind"]]
    assert "Let's" in figure["text"] and "isn't" in figure["text"]
    assert said(figure) == "fire main"
    # A pattern for quoted text alone finds the words between two apostrophes.
    assert read_answer(figure["text"].replace("'fire main'", ""), LANDER.actions).action is None


@pytest.mark.parametrize(
    "open_, close",
    ["''", '""', "()", "[]", "``", "“”", "«»", "「」", "\u2018\u2019"],
)
@pytest.mark.parametrize("name", LANDER.actions.names)
def test_every_name_is_read_between_any_marks_after_free_reasoning(name, open_, close):
    text = (
        f"Let's see. It isn't easy, and we're low; the ship's tilt is small. {open_}{name}{close}"
    )
    assert LANDER.actions.say(read_answer(text, LANDER.actions).action) == name


def test_numbers_are_bounded_and_take_their_order_from_the_names():
    right = read_answer('{"action": {"side": -1, "main": 0.5}}', LANDER_CONTINUOUS.actions)
    np.testing.assert_array_equal(right.action, np.float32([0.5, -1]))
    wrong = read_answer('{"action": {"side": -1.01, "main": 0.5}}', LANDER_CONTINUOUS.actions)
    assert wrong.action is None and '"side" is -1.01' in wrong.problem
    assert "-1 to 1" in wrong.problem


def test_an_answer_that_was_cut_off_decides_by_what_it_says_and_not_by_where_it_ends():
    said, weighed = "I choose 'fire main', bec", "Let me think about 'fire main'"
    assert read_answer(said, LANDER.actions, complete=False).action == 2
    assert read_answer('{"action": "fire main"}', LANDER.actions, complete=False).action == 2
    for text in (weighed, "fire main", "My options:\n'fire main'"):
        reading = read_answer(text, LANDER.actions, complete=False)
        assert reading.action is None and "cut off" in reading.problem


def test_a_model_that_says_the_same_for_ever_is_soon_read():
    began = time.perf_counter()
    for text in ("'left' ", "I could go 'left' or 'up', but ", "the snake is heading 'up' and "):
        read_answer(text * (20_000 // len(text)), SNAKE.actions)
    assert time.perf_counter() - began < 3.0


def test_a_problem_says_what_to_say_instead():
    for text in ("", "left", "'up'", "'fire left' or 'fire right'", '{"action": "jump"}'):
        problem = read_answer(text, LANDER.actions).problem
        assert problem and (not text or "fire main" in problem), (text, problem)


def test_objects_are_found_among_braces_that_are_none():
    text = 'a { b {"x": {"y": 1}} and {not json} {"z": "}"}'
    assert list(json_objects(text)) == [{"x": {"y": 1}}, {"z": "}"}]
    assert list(json_objects("{" * 5000)) == []
    assert list(json_objects('{"x": ' + "1" * 5000 + "}")) == [], "more digits than Python reads"
