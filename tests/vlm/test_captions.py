"""The page to look through: what is on it, what cannot be, and how large it gets."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from jaxrl.vlm import captions, page
from jaxrl.vlm.budget import Amount
from jaxrl.vlm.client import Sampling
from jaxrl.vlm.messages import Image, Ok, Prompt, Refused, TransportError, Usage
from jaxrl.vlm.parsing import parser
from jaxrl.vlm.store import Store, key_of

HOSTILE = "</div><script>alert(1)</script><img src=x onerror=alert(2)> & \"inside\" 'quoted' \ud800"
RULES = parser("lander_words")


class Elements(HTMLParser):
    """Counts elements, and sees that they are closed in order."""

    VOID = ("meta", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def count(self, tag, kind=None):
        return sum(t == tag and (kind is None or kind in (a.get("class") or "").split())
                   for t, a in self.seen)  # fmt: skip


def frame(number):
    return Image.from_array(np.full((4, 6, 3), number, np.uint8))


def enter(store, prompt, outcome, model="m"):
    key = key_of(model, Sampling(), prompt)
    (call,) = store.sent(model, [key], [prompt], [Amount(1, 99, 0.5)])
    store.ended(call, outcome, 0.5, Amount(1, 30, 0.0012), Sampling())


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store.sqlite")
    yield store
    store.close()


@pytest.fixture
def shown(store, tmp_path):
    """Writes a page and reads it back."""

    def show(write=captions.write, **settings):
        path = write(store, tmp_path / "vlm" / "captions.html", **settings)
        text = path.read_text()
        return text, Elements(text)

    return show


def test_a_card_has_all_that_belongs_to_an_answer(store, shown):
    enter(store, Prompt.of("Where is it?", frame(1), system="Be brief."),
          Ok("It is inside, and stable.", Usage(27, 3)))  # fmt: skip
    text, elements = shown(parser=RULES, title="My run")
    for piece in ("My run", "Where is it?", "Be brief.", "It is inside, and stable.", "3.5",
                  "inside", "stable", "27 + 3 tokens", "$0.00120", "0.50 s"):  # fmt: skip
        assert piece in text
    assert elements.count("img") == elements.count("div", "card") == 1
    assert elements.count("span", "chip") == 2


def test_what_a_model_wrote_is_text(store, shown):
    enter(store, Prompt.of(f"Ask {HOSTILE}", frame(1)), Ok(HOSTILE))
    enter(store, Prompt.of("b", frame(2)), Refused(HOSTILE))
    enter(store, Prompt.of("c", frame(3)), TransportError(HOSTILE))
    _, elements = shown(parser=RULES, title=HOSTILE)
    assert elements.count("script") == 0
    assert elements.count("img") == 2
    assert all(not name.startswith("on") for _, attrs in elements.seen for name in attrs)
    assert "alert(1)" in "".join(elements.words)
    policy = next(
        a["content"] for _, a in elements.seen if "content" in a and "src" in a["content"]
    )
    assert "default-src 'none'" in policy and "script-src" not in policy
    assert all(attrs.get("src", "data:").startswith("data:") for _, attrs in elements.seen)
    assert not any("href" in attrs for _, attrs in elements.seen)


def test_failures_and_unparsed_answers_are_marked_and_counted(store, shown):
    enter(store, Prompt.of("a", frame(1)), Ok("a sheep"))
    enter(store, Prompt.of("b", frame(2)), Refused("not that"))
    enter(store, Prompt.of("c", frame(3)), TransportError("reset", 503))
    text, elements = shown(parser=RULES)
    assert elements.count("div", "bad") == 2
    words = " ".join(elements.words)
    assert "no rule fired" in words and "refused: not that" in words
    assert "transport 503: reset" in words
    assert "<b>100%</b><span>unparsed" in text and "<b>3</b><span>calls" in text


def test_answers_that_nobody_reads_are_shown_plain(store, shown):
    enter(store, Prompt.of("a", frame(1)), Ok(""))
    text, elements = shown()
    assert elements.count("div", "plain") == 1
    assert "unparsed" not in "".join(elements.words) and "<i>nothing</i>" in text


def test_an_empty_store_is_an_empty_page(shown):
    for write in (captions.write, captions.write_comparison):
        assert shown(write)[1].count("div", "card") == 0


def test_the_size_is_bounded(store, shown, monkeypatch):
    for number in range(30):
        enter(store, Prompt.of(f"{number}", frame(number)), Ok("x" * 10_000))
    text, elements = shown(last=4, sample=5)
    assert elements.count("div", "card") == 9
    assert len(text) < 9 * page.LONGEST + 30_000
    assert "and 18 more" in text  # thirty prompts, of which the page names twelve
    assert "of the newest" not in text
    monkeypatch.setattr(captions, "SUMMED", 20)
    assert "of the newest 20 answers" in shown(last=4, sample=5)[0]
    monkeypatch.setattr(captions, "MEGABYTES", 0)
    assert shown(last=4, sample=5)[1].count("img") == 0


def test_the_newest_come_first_and_the_sample_is_spread(store, shown):
    for number in range(12):
        enter(store, Prompt.of("a", frame(number)), Ok(f"answer {number}."))
    text, _ = shown(last=3, sample=4)
    cards = [int(number) for number in re.findall(r'said">answer (\d+)\.', text)]
    assert cards == [11, 10, 9, 8, 5, 3, 0]


def test_a_comparison_puts_all_that_was_said_of_a_frame_under_it(store, shown):
    for number in range(3):
        for way in ("What is this?", "How far is it?"):
            enter(store, Prompt.of(way, frame(number)), Ok(f"{way[:3]} {number}, inside"))
    enter(store, Prompt.of("What is this?", frame(9)), Ok("alone"))
    text, elements = shown(captions.write_comparison, parser=RULES)
    assert elements.count("div", "card") == elements.count("img") == 3
    assert elements.count("div", "asked") == 6
    assert text.index("Wha 0") < text.index("How 0") < text.index("Wha 1")
    assert "alone" not in text and "3 of 3 frames" in text


def test_a_comparison_of_models_names_them(store, shown):
    for model in ("model-a", "model-b"):
        enter(store, Prompt.of("What?", frame(1)), Ok("x"), model)
    text, elements = shown(captions.write_comparison)
    assert "model-a" in text and "model-b" in text
    assert elements.count("div", "asked") == 2
