"""Parsers: what counts as evidence, and that nothing else does."""

import hashlib
import json
import math
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jaxrl.errors import ConfigError, UnknownNameError
from jaxrl.vlm.parsing import names, parser
from jaxrl.vlm.parsing.words import without_echo

PAPER, WORDS, POSITION = parser("paper_lander"), parser("lander_words"), parser("lander_position")
TILT, SCORE = parser("tilt_degrees"), parser("score_0_to_10")
YES_NO, CHOICE = parser("yes_no"), parser("first_second_equal")


def failed(parsed):
    """Not ok, and then without any number."""
    assert not parsed.ok and parsed.note
    assert math.isnan(parsed.value) and math.isnan(parsed.reading)
    return True


@pytest.mark.parametrize(
    ("text", "value", "fired"),
    [
        ("The lander is inside the flags, stable", 3.50, ("inside", "stable")),
        ("outside", -1.75, ("outside",)),
        ("CENTER, within, landed, stable", 5.20, ("center", "inside", "on or landed", "stable")),
        ("in the middle of the center", 1.25, ("center",)),
    ],
)
def test_the_papers_table(text, value, fired):
    for rules in (PAPER, WORDS):
        parsed = rules(text)
        assert (parsed.value, parsed.ok, parsed.fired) == (value, True, fired)


def test_an_empty_answer_is_none_and_rules_that_do_not_fire_are_zero_in_the_paper_alone():
    for rules in (PAPER, WORDS):
        assert failed(rules("")) and failed(rules(" \n"))
    assert (PAPER("a sheep").value, PAPER("a sheep").ok) == (0.0, True)
    assert failed(WORDS("a sheep")) and WORDS("a sheep").note == "no rule fired"


@pytest.mark.parametrize(
    ("text", "paper", "word"),
    [
        ("a moon", 0.45, None),
        ("an unstable situation", 1.20, None),
        ("not inside the flags", 2.75, None),
        ("It isn’t quite stable, but it is inside.", 3.50, 2.75),
        ("far from the center", 1.25, None),
        ("not only stable but inside", 3.95, 3.50),
        ("There is no doubt that it landed", 0.45, 0.45),
        ("No. Stable and inside.", 3.50, 3.50),
        ("non-stable", 1.20, None),
        ("on", 0.45, 0.45),
    ],
)
def test_letters_are_not_words_and_a_negation_is_heeded(text, paper, word):
    assert PAPER(text).value == pytest.approx(paper)
    parsed = WORDS(text)
    assert failed(parsed) if word is None else parsed.value == word


def test_what_was_negated_is_said():
    assert WORDS("not inside").note == "no rule fired; negated: inside"
    assert WORDS("not inside, but stable").note == "negated: inside"


CAPTION = """The lander is inside the flags, in the center. It is low above the ground.
It is upright. It leans 2.0 degrees to the left. No leg touches the ground."""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("The lander is between the flags, low above the ground, upright.", 1.75),
        ("It is to the right of the two flags and high above the ground, tilting left.", -1.75),
        ("Standing on the ground between the two flags, upright.", 2.25),
        ("The lander has crashed outside the flags.", -1.5),
        (CAPTION, 1.75),
        ("It is outside the flags, to the left. It is high above the ground. It is tilted.", -1.75),
        ("It is not tilted.", None),
    ],
)
def test_positions_in_plain_words(text, value):
    parsed = POSITION(text)
    assert failed(parsed) if value is None else parsed.value == value


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("It leans 7° to the left.", -7),
        ("7 degrees right", 7),
        ("approximately **3.5** degrees to the right", 3.5),
        ("The pole is leaning to the left, not the right. Angle: 7 degrees", -7),
        ("Left. Five degrees.", -5),
        ("0 degrees", 0),
        ("-7 degrees, to the left", -7),
        ("It is 4 degrees, rounded 4 degrees, clockwise", 4),
        ("On the right of the picture is a wall. The pole leans 4 degrees left.", -4),
    ],
)
def test_a_number_is_found_with_its_unit_and_side(text, reading):
    parsed = TILT(text)
    assert parsed.ok and parsed.reading == reading
    assert parsed.value == pytest.approx(1 - abs(reading) / 12)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("approximately 45 degrees to the right", "45 is outside -16 to 16"),
        ("approximately 30 degrees to the left", "-30 is outside -16 to 16"),
        ("7", "no number"),
        ("7 pixels to the left", "no number"),
        ("It leans left.", "no number"),
        ("7 degrees", "no side"),
        ("7 degrees left or right", "both sides"),
        ("5 degrees or 6 degrees left", "several numbers: 5, 6"),
        ("5 or 6 degrees left", "range"),
        ("between 5 and 10 degrees left", "range"),
        ("5-10 degrees left", "no number"),
        ("-7 degrees right", "contradict"),
        ("1,000 degrees left", "no number"),
        ("degrees left", "no number"),
        ("7 degreeses left", "no number"),
    ],
)
def test_a_number_that_could_be_a_guess_is_none(text, note):
    parsed = TILT(text)
    assert failed(parsed) and note in parsed.note


def test_the_reward_of_a_tilt_is_a_broken_line():
    values = [TILT(f"{degrees} degrees left").value for degrees in (0, 3, 12, 15)]
    assert values == pytest.approx([1, 0.75, 0, 0])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Yes", 1),
        ("**No**", 0),
        ("yes, the pole stands.", 1),
        ("No - it fell.", 0),
        ("The pole is upright. So the answer is: yes.", 1),
        ("Let me see.\n\nFinal answer: NO", 0),
        ("Yes, no doubt.", 1),
        ("Yes. On second thoughts. No.", None),
        ("There is no pole.", None),
        ("No legs touch the ground", None),
        ("maybe", None),
        ("Answer with one word, yes or no.", None),
    ],
)
def test_yes_and_no_are_verdicts_and_not_words(text, value):
    parsed = YES_NO(text, "Is it up? Answer with one word, yes or no.")
    assert failed(parsed) if value is None else (parsed.ok and parsed.value == value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("first", 1),
        ("The second image is better.", 0),
        ("Image 1", 1),
        ("Both lean. They are equally good.", 0.5),
        ("The first leans more than the second.\nAnswer: second", 0),
        ("The first leans more than the second.", None),
        ("Not the first.", None),
    ],
)
def test_a_preference_is_read_where_there_is_one(text, value):
    parsed = CHOICE(text)
    assert failed(parsed) if value is None else (parsed.ok and parsed.value == value)


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ('{"score": 7}', 7),
        ('Sure!\n```json\n{"score": 7.5, "reason": "a {brace}"}\n```\nBye {x}', 7.5),
        ('{"score": 7} and again {"score": 7.0}', 7),
        ('{"score": 0}', 0),
    ],
)
def test_json_is_found_with_prose_around(text, reading):
    parsed = SCORE(text)
    assert (parsed.reading, parsed.fired) == (reading, (f"score={reading:g}",))
    assert parsed.value == pytest.approx(reading / 10)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("8 of 10", "no JSON object"),
        ('{"score": 7', "no JSON object"),
        ("{'score': 7}", "no JSON object"),
        ('{"score": NaN}', "no JSON object"),
        ('{"score": "7"}', "'score' is not of type number"),
        ('{"score": true}', "'score' is not of type number"),
        ('{"score": 11}', "outside 0 to 10"),
        ('{"score": 1e999}', "outside 0 to 10"),
        ('{"score": 1' + "0" * 400 + "}", "outside 0 to 10"),
        ('{"grade": 7}', "has no score"),
        ('{"score": 7, "reason": 3}', "'reason' is not of type string"),
        ('{"score": 7} {"score": 8}', "several objects: 7, 8"),
        ('{"score": ' * 3000, "characters"),
        ('{"a":' * 2500, "no JSON object"),
    ],
)
def test_json_is_not_mended(text, note):
    parsed = SCORE(text)
    assert failed(parsed) and note in parsed.note


def test_an_echo_is_taken_out_wherever_it_stands():
    prompt = "Is the pole leaning left or right? Say how many degrees. Yes or no?"
    text = "You ask: is the pole leaning LEFT or right? It leans left. Yes or no?"
    left = without_echo(text, prompt)
    assert "right" not in left and "It leans left" in left
    assert "Yes or no" in left  # three words may be an answer of its own
    assert TILT("Is the pole leaning left or right? 7 degrees left.", prompt).reading == -7


PIECES = """
7 45 degrees ° left right not stable inside yes no first second {"score":3} {"score": } . , - or **
""".split()
ANYTHING = st.one_of(
    st.text(max_size=200),
    st.text(alphabet='{}[]":,0123456789.-+ eE\n', max_size=200),
    st.lists(
        st.sampled_from([*PIECES, "\n"]),
        max_size=12,
    ).map(" ".join),
)


@given(ANYTHING, st.text(max_size=80))
@example("\ud800", "")
@example("²³ degrees left", "")
@example("٣ degrees left", "")
def test_no_text_raises_and_a_failure_is_never_a_number(text, prompt):
    for name in names():
        parsed = parser(name)(text, prompt)
        if parsed.ok:
            assert math.isfinite(parsed.value) and math.isfinite(parsed.reading)
        else:
            assert failed(parsed)


@given(ANYTHING)
def test_a_number_comes_only_from_a_number_with_a_unit_in_range(text):
    parsed = TILT(text)
    if parsed.ok:
        assert -16 <= parsed.reading <= 16
        assert "deg" in text or "°" in text
        assert parsed.reading == 0 or "left" in text or "right" in text or "clock" in text


@given(st.text(alphabet="abcdfghjkmpqrvwxz ,.", max_size=100))
def test_a_text_without_any_of_the_words_is_unparsed(text):
    for rules in (WORDS, POSITION, TILT, YES_NO, CHOICE, SCORE):
        assert failed(rules(text))


def test_long_texts_take_no_time():
    began = time.process_time()
    for text in ("not stable " * 1800, '{"a":[' * 3300, "7 degrees left " * 1300, "1-" * 9999):
        for name in names():
            parser(name)(text, text[:4000])
    assert time.process_time() - began < 5


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return parser(path)

    return write


RULES = 'kind = "keywords"\n[[rules]]\nany = ["tilt*", "upside down"]\nweight = -1\n'


def test_a_user_writes_rules_as_a_file(written):
    mine = written(RULES)
    assert mine("It is tilting.").value == mine("Upside  down!").value == -1
    assert (mine.name, mine("tilted").fired) == ("mine", ("tilt*",))
    assert mine.digest == hashlib.sha256(RULES.encode()).hexdigest()
    assert written(RULES + "unmatched = 0").digest != mine.digest


def test_a_bare_number_and_any_schema_can_be_read(written):
    count = written('kind = "number"\nrange = [0, 100]')
    assert count("There are 12 of them").value == 12
    assert failed(count("12 or 13")) and failed(count("12%")) and failed(count("v1.2.3"))
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["n", "side"],
        "properties": {
            "n": {"type": "integer"},
            "side": {"enum": ["left", "right"]},
            "all": {"type": "array", "items": {"type": "number"}},
        },
    }
    mine = written('kind = "json"\nfield = "n"\nschema = ' + toml(schema))
    assert mine('{"n": 3, "side": "left", "all": [1, 2.5]}').value == 3
    for wrong in (
        {"n": 3.5, "side": "left"},
        {"n": 3, "side": "up"},
        {"n": 3, "side": "left", "more": 1},
        {"n": 3, "side": "left", "all": [1, "2"]},
        {"n": 3, "side": "left", "all": 3},
    ):
        assert failed(mine(json.dumps(wrong)))


def toml(value):
    """A value as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "kind must be one of choice, json, keywords, number"),
        ('kind = "keywords"', "'rules' is missing"),
        ("kind = ", "parser"),
        (RULES.replace("-1", '"much"'), "no finite number"),
        (RULES.replace("-1", "nan"), "no finite number"),
        (RULES.replace("tilt*", "!"), "without a word in it"),
        (RULES.replace("any", "all"), "'any' is missing"),
        ('match = "fuzzy"\n' + RULES, "'word' or 'substring'"),
        ('weigth = "x"\n' + RULES, "nothing is known of weigth"),
        ('kind = "number"\nrange = [3, 1]', "second must be the larger"),
        ('kind = "number"\nrange = [0, 1]\nsides = {left = -2}', "-1 or 1"),
        ('kind = "number"\nrange = [0, 1]\nreward = [[1, 0], [0, 1]]', "in order"),
        ('kind = "choice"\noptions = {yes = {value = 1}}', "two options"),
        ('kind = "json"\nfield = "n"\nschema = {type = "object", pattern = "x"}', "pattern"),
        ('kind = "json"\nfield = "n"\nschema = {type = "thing"}', "type 'thing'"),
        (
            'kind = "json"\nfield = "n"\nschema = {required = [], properties.n.type = "number"}',
            "required number",
        ),
    ],
)
def test_rules_that_cannot_be_used_are_one_clear_error(written, text, said):
    with pytest.raises(ConfigError, match=said):
        written(text)


def test_an_unknown_parser_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'lander_words'"):
        parser("lander_word")
    with pytest.raises(ConfigError, match="there is no such file"):
        parser("nowhere.toml")
