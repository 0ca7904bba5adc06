"""Prompts as files: those that are shipped, and what is wrong with those that users write."""

import math

import pytest

from jaxrl.errors import ConfigError, UnknownNameError
from jaxrl.vlm.messages import Image
from jaxrl.vlm.parsing import parser
from jaxrl.vlm.prompts import load, names

FRAME = Image(b"a picture")
GOAL = {"goal": "the pole stands upright"}
VERBATIM = {
    "paper_lander_picture": "Tell me what is happening in this picture.",
    "paper_lander_distance": "In this photo, how far in km is the purple space shuttle in "
    "relation to the yellow flags?",
    "paper_lander_landing": "Analyze the landing situation of the space shuttle in terms of its "
    "position relative to the snow surface inside the flags.",
    "paper_cartpole_tilt": "The image is about a pole sitting on a cart. Is the pole leaning left "
    "or right? Output the degree that it's leaning. Round the degree to the nearest whole number.",
}


def rendered(template):
    return template.render(**{name: GOAL[name] for name in template.parameters})


@pytest.mark.parametrize("name", VERBATIM)
def test_the_papers_prompts_are_its_own_words(name):
    template = load(name)
    assert template.render() == ("", VERBATIM[name])
    assert template.prompt(FRAME).turns[0].text == VERBATIM[name]


@pytest.mark.parametrize("name", names())
def test_a_prompt_and_its_parser_understand_each_other(name):
    template = load(name)
    system, text = rendered(template)
    assert len(template.examples) >= 2
    for example in template.examples:
        parsed = template.read(example.answer, f"{system}\n{text}")
        if example.reading is None:
            assert not parsed.ok and math.isnan(parsed.value), example
        else:
            assert parsed.ok and parsed.reading == pytest.approx(example.reading), (example, parsed)


@pytest.mark.parametrize("name", names())
def test_a_prompt_repeated_as_an_answer_says_nothing(name):
    template = load(name)
    system, text = rendered(template)
    for echo in (text, f"{system} {text}", f"You asked: {text.upper()}"):
        parsed = template.read(echo, f"{system}\n{text}")
        # But for the paper's rules, which take "on" in "position" for a landing.
        assert parsed.ok == (template.parser == "paper_lander"), parsed


def test_the_third_prompt_of_the_paper_rewards_its_own_echo_as_the_paper_has_it():
    text = VERBATIM["paper_lander_landing"]
    assert parser("paper_lander")(text, text).value == 3.2
    assert not parser("lander_words")(text, text).ok


def test_a_prompt_that_is_sent_has_its_pictures_and_its_schema():
    prompt = load("goal_score").prompt(FRAME, sample=2, **GOAL)
    assert GOAL["goal"] in prompt.turns[0].text
    assert prompt.turns[0].images == (FRAME,)
    assert prompt.schema["properties"]["score"]["maximum"] == 10
    assert (prompt.sample, prompt.system[:9]) == (2, "You judge")
    both = load("compare_goal").prompt(FRAME, FRAME, **GOAL)
    assert len(both.turns[0].images) == 2
    with pytest.raises(ConfigError, match="takes 2 images, not 1"):
        load("compare_goal").prompt(FRAME, **GOAL)


def test_what_a_prompt_needs_must_be_described():
    template = load("cartpole_tilt")
    template.check({"pole_angle_degrees", "cart_position"})
    with pytest.raises(
        UnknownNameError, match=r"'pole_angle_degrees'.*'pole_angle'.*cartpole_tilt"
    ):
        template.check({"pole_angle", "cart_position"})


def test_names_are_given_or_it_is_an_error():
    template = load("goal_yes_no")
    with pytest.raises(ConfigError, match=r"needs goal \(what should be reached"):
        template.render()
    with pytest.raises(ConfigError, match="has no gaol: it takes goal"):
        template.render(goal="x", gaol="y")


def test_an_unknown_prompt_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'lander_position'"):
        load("lander_postion")
    with pytest.raises(ConfigError, match="there is no such file"):
        load("nowhere.jinja")


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "mine.jinja"
        path.write_text(text)
        return load(path)

    return write


HEAD = '+++\nparser = "yes_no"\nneeds = ["x"]\n+++\n'


def test_a_users_prompt_may_name_quantities(written):
    template = written(HEAD + "Is {{ '%.1f' | format(x) }} m far?")
    assert (template.name, template.needs, template.truth) == ("mine", ("x",), "")
    assert template.render(x=2.345).text == "Is 2.3 m far?"
    with pytest.raises(ConfigError, match="'x' is undefined"):
        template.render()
    assert written(HEAD + "Is {{ x }} far?").digest != template.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Is it far?", "TOML between two lines"),
        ("Hello " + HEAD + "Is it?", "does not begin with"),
        (HEAD, "there is no text"),
        (HEAD.replace("needs", "neds") + "Is it?", "'needs' is missing"),
        (HEAD.replace("needs", "colour = 3\nneeds") + "Is it?", "nothing is known of colour"),
        (HEAD.replace("[", "") + "Is it?", "TOML between"),
        (HEAD + "Is {{ x", "prompt 'mine'"),
        (HEAD + "Is {{ y }}?", "unknown name 'y'"),
        (HEAD.replace("yes_no", "yes_on") + "Is it?", "did you mean 'yes_no'"),
        (HEAD + "{{ x.__class__.__mro__ }}", "unsafe"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_one_clear_error(written, text, said):
    with pytest.raises((ConfigError, UnknownNameError), match=said):
        written(text).render(x=1)
