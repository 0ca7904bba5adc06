"""Budgets and prices: nothing is spent that was not set aside, whoever spends at once."""

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrl.errors import ConfigError
from jaxrl.vlm.asker import Asker
from jaxrl.vlm.budget import Amount, Budget
from jaxrl.vlm.client import Sampling
from jaxrl.vlm.messages import Image, Ok, OverBudget, Prompt, Usage
from jaxrl.vlm.prices import Price, Prices, price_of, worst_case
from jaxrl.vlm.scripted import ScriptedClient


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("2usd", {"dollars": 2}),
        ("$0.50", {"dollars": 0.5}),
        ("1000calls", {"calls": 1000}),
        ("1 call", {"calls": 1}),
        ("50ktokens", {"tokens": 50_000}),
        ("1.5Mtokens", {"tokens": 1_500_000}),
        ("2usd, 1_000calls,50ktokens", {"dollars": 2, "calls": 1000, "tokens": 50_000}),
        ("0calls", {"calls": 0}),
    ],
)
def test_a_budget_is_read_as_it_is_typed(text, limit):
    assert Budget.of(text).limit == limit


@pytest.mark.parametrize(
    "text", ["", "2", "usd", "$2usd", "2eur", "-1usd", "2usd,", "5k", "1 2usd"]
)
def test_what_is_no_budget_says_how_to_write_one(text):
    with pytest.raises(ConfigError, match=r"write '2usd', '1000calls'"):
        Budget.of(text)


def test_two_limits_on_one_thing_are_refused():
    with pytest.raises(ConfigError, match="limits dollars twice"):
        Budget.of("2usd,$3")
    with pytest.raises(ConfigError, match="no limit"):
        Budget(calls=-1)


def test_the_worst_is_held_and_the_truth_is_spent():
    budget = Budget.of("10calls,100tokens")
    assert budget.reserve(Amount(1, 60)) is None
    reason = budget.reserve(Amount(1, 60))
    assert "60 tokens set aside" in reason and "of 100 tokens" in reason
    budget.settle(Amount(1, 60), Amount(1, 5))
    assert (budget.spent, budget.held) == (Amount(1, 5), Amount())
    assert budget.reserve(Amount(1, 60)) is None
    assert str(budget) == "5 of 100 tokens, 1 of 10 calls"


def test_a_sum_of_cents_reaches_its_limit():
    budget = Budget.of("0.3usd")
    for _ in range(3):
        assert budget.reserve(Amount(1, 1, 0.1)) is None
    assert budget.reserve(Amount(1, 1, 0.1)) is not None


amounts = st.builds(Amount, st.just(1), st.integers(0, 50), st.floats(0, 0.5))
"""What a call may cost."""


@given(st.lists(st.tuples(amounts, st.floats(0, 1), st.booleans()), max_size=60))
def test_no_order_of_calls_passes_the_limit(calls):
    budget = Budget(calls=20, tokens=300, dollars=2.0)
    under_way = []
    for worst, share, now in calls:
        if budget.reserve(worst) is None:
            under_way.append((worst, share))
        if now and under_way:
            worst, share = under_way.pop()
            actual = Amount(1, int(worst.tokens * share), worst.dollars * share)
            budget.settle(worst, actual)
        assert budget.spent.calls <= 20
        assert budget.spent.tokens <= 300
        assert budget.spent.dollars <= 2.0 + 1e-6


def test_threads_that_spend_at_once_do_not_pass_the_limit():
    budget, made = Budget.of("100calls"), []

    def spend():
        for _ in range(50):
            if budget.reserve(Amount(1)) is None:
                made.append(1)
                budget.settle(Amount(1), Amount(1))

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == budget.spent.calls == 100


def test_the_shipped_prices_have_a_date_and_know_models_and_patterns():
    prices = Prices.load()
    assert prices.date.startswith("20")
    assert prices.of("openai:gpt-4o") == Price(2.5, 10.0)
    assert prices.of("transformers:Salesforce/blip2-opt-2.7b") == Price(0, 0)
    assert prices.of("openai:gpt-4o@http://my.server") is None
    assert Price(2.5, 10.0).of(Usage(1_000_000, 100_000)) == 3.5


def test_given_prices_come_before_the_shipped(tmp_path):
    table = tmp_path / "mine.json"
    entry = {"input": 1, "output": 2, "image": [10, 20]}
    table.write_text(json.dumps({"date": "2026-01-01", "models": {"openai:mine": entry}}))
    assert price_of("openai:mine", table) == Price(1, 2, (10, 20))
    assert price_of("openai:gpt-4o", table) == Price(2.5, 10.0)
    assert price_of("openai:mine", "3,4") == Price(3, 4)
    assert price_of("openai:mine", Price(5, 6)) == Price(5, 6)
    assert price_of("openai:mine") is None


@pytest.mark.parametrize("given", ["3,x", "-1,2", "nan,1", "nowhere.json"])
def test_a_price_that_is_none_says_what_is_needed(given):
    with pytest.raises(ConfigError, match="per million tokens"):
        price_of("openai:gpt-4o", given)


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"date": "x", "models": {"a": 3}}', '{"date": 1, "models": []}']
)
def test_a_file_that_is_no_table_of_prices_says_what_one_is(tmp_path, text):
    path = tmp_path / "prices.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="is no table of prices"):
        Prices.load(path)


def png_of(width, height):
    """The head of a picture: as much as says how large it is."""
    head = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR"
    return Image(head + width.to_bytes(4, "big") + height.to_bytes(4, "big"))


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [(600, 400, 608), (512, 512, 630), (64, 64, 255), (8192, 8192, 10_077)],
)
def test_a_picture_counts_as_the_dearest_way_of_counting_says(width, height, tokens):
    bare = worst_case(Prompt.of("How?"), Sampling(max_tokens=0), None).tokens
    seen = worst_case(Prompt.of("How?", png_of(width, height)), Sampling(max_tokens=0), None)
    assert seen.tokens - bare == tokens
    assert seen.dollars is None


def test_the_worst_case_counts_text_answer_and_money():
    prompt = Prompt.of("a" * 100, system="b" * 50)
    worst = worst_case(prompt, Sampling(max_tokens=200), Price(1.0, 2.0))
    assert worst.tokens == 100 + 50 + 32 + 200
    assert worst.dollars == pytest.approx((182 * 1.0 + 200 * 2.0) / 1e6)
    longer = worst_case(Prompt.of("ä€" * 50), Sampling(max_tokens=0), None)
    assert longer.tokens >= 250  # bytes, not characters


@pytest.mark.parametrize("model", ["captioner", "replay:run/vlm/store.sqlite"])
def test_what_is_no_model_has_no_tokens(model):
    assert worst_case(Prompt.of("How?"), Sampling(), price_of(model)) == Amount(1, 0, 0.0)
    client = ScriptedClient(lambda prompt: Ok("so", Usage(1000, 10)), model=model)
    asker = Asker(client, budget="1tokens,2calls")
    answers = asker.ask([Prompt.of(text) for text in "abc"])
    kinds = [type(answer.outcome) for answer in answers]
    assert kinds == [Ok, Ok, OverBudget] and asker.budget.spent == Amount(2, 0, 0.0)
    asker.close()
