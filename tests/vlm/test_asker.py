"""Asking: each prompt once, nothing lost, nothing paid twice, no budget passed."""

import sqlite3
import threading
import time

import pytest

from jaxrl.errors import ConfigError
from jaxrl.vlm.asker import WAITING, Asker
from jaxrl.vlm.client import Sampling
from jaxrl.vlm.messages import (
    Ok,
    OverBudget,
    Prompt,
    Refused,
    TimedOut,
    TransportError,
    Usage,
)
from jaxrl.vlm.prices import Price
from jaxrl.vlm.scripted import ScriptedClient
from jaxrl.vlm.store import Store


def echo(prompt):
    return Ok("to " + prompt.turns[0].text, Usage(10, 2))


def prompts(*texts):
    return [Prompt.of(text) for text in texts]


def texts(answers):
    return [answer.outcome.text for answer in answers]


class Late:
    """A client whose first answer comes after the deadline, when it is told to."""

    model, sampling = "late", Sampling(max_tokens=100)

    def __init__(self):
        self.asked, self.tell = [], None

    def ask(self, prompts, *, timeout, on_outcome=None):
        self.asked += prompts
        self.tell = self.tell or (lambda outcome: on_outcome(0, outcome))
        return [TimedOut(timeout) for _ in prompts]

    def close(self):
        pass


@pytest.fixture
def made():
    """Makes askers, and closes them."""
    askers = []

    def make(script=echo, **settings):
        client = ScriptedClient(script) if callable(script) else script
        askers.append(Asker(client, **settings))
        return askers[-1]

    yield make
    for asker in askers:
        asker.close()


def test_answers_come_in_order_and_the_same_prompt_is_asked_once(made):
    asker = made()
    answers = asker.ask(prompts("a", "b", "a", "c", "a"))
    assert texts(answers) == ["to a", "to b", "to a", "to c", "to a"]
    assert len(asker.client.asked) == 3
    assert answers[0].key == answers[2].key != answers[1].key
    counts = asker.counts
    assert (counts.asked, counts.calls, counts.repeated, counts.failed) == (5, 3, 2, 0)
    assert (counts.input_tokens, counts.output_tokens) == (30, 6)


def test_no_prompts_are_no_call(made):
    asker = made()
    assert asker.ask([]) == [] and asker.submit([]) == []
    assert asker.client.asked == []


def test_what_the_store_has_is_not_asked(made, tmp_path):
    first = made(store=tmp_path / "s.sqlite")
    first.ask(prompts("a"))
    answers = first.ask(prompts("a", "b"))
    assert [answer.cached for answer in answers] == [True, False]
    second = made(store=tmp_path / "s.sqlite")
    assert texts(second.ask(prompts("a", "b"))) == ["to a", "to b"]
    assert second.client.asked == []
    assert (second.counts.cached, second.counts.calls) == (2, 0)


def test_a_refusal_is_kept_and_a_failure_is_asked_again(made, tmp_path):
    outcomes = {"no": Refused("not this one", Usage(5, 0)), "down": TransportError("reset")}
    asker = made(lambda p: outcomes[p.turns[0].text], store=tmp_path / "s.sqlite")
    for _ in range(2):
        refused, failed = asker.ask(prompts("no", "down"))
        assert (refused.outcome, failed.outcome) == (outcomes["no"], outcomes["down"])
    assert [p.turns[0].text for p in asker.client.asked] == ["no", "down", "down"]
    assert asker.counts.failed_by == {"refused": 2, "transport": 2}
    assert asker.store.outcomes() == {"transport": 2, "refused": 1}


def test_after_a_fatal_error_nothing_more_is_sent_but_the_store_still_answers(made, tmp_path):
    fatal = TransportError("wrong key: set MY_KEY", 401, fatal=True)
    asker = made(store=tmp_path / "s.sqlite")
    asker.ask(prompts("a"))
    asker.client.script = lambda prompt: fatal
    asker.ask(prompts("b"))
    assert asker.fatal == fatal
    assert asker.stopping == "wrong key: set MY_KEY"
    a, c = asker.ask(prompts("a", "c"))
    (d,) = asker.submit(prompts("d"))
    assert (a.outcome.text, c.outcome, d.result(5).outcome) == ("to a", fatal, fatal)
    assert len(asker.client.asked) == 2


def test_a_spent_budget_masks_and_says_so(made):
    asker = made(budget="2calls")
    answers = asker.ask(prompts("a", "b", "c"))
    assert [type(answer.outcome) for answer in answers] == [Ok, Ok, OverBudget]
    assert "2 of 2 calls" in asker.status()
    assert asker.spent and asker.stopping is None
    assert asker.counts.failed_by == {"budget": 1}
    assert len(asker.client.asked) == 2


def test_a_spent_budget_can_stop_the_run(made):
    asker = made(budget="0calls", on_spent="stop")
    assert asker.stopping is None
    asker.ask(prompts("a"))
    assert asker.stopping.startswith("budget:")
    with pytest.raises(ConfigError, match="'mask' or 'stop'"):
        made(on_spent="explode")


def test_money_is_set_aside_by_the_worst_and_settled_by_usage(made):
    # The worst is 33 + 256 tokens, about 29 cents at these prices; an answer takes 1.2 cents.
    asker = made(budget="0.5usd", price=Price(1000, 1000))
    answers = asker.ask(prompts("a", "b"))
    assert [type(answer.outcome) for answer in answers] == [Ok, OverBudget]
    assert asker.budget.spent.dollars == pytest.approx(0.012)
    assert asker.counts.dollars == pytest.approx(0.012)
    assert isinstance(asker.ask(prompts("b"))[0].outcome, Ok)
    assert "$0.0240 of $0.50" in asker.status()


def test_a_resumed_run_goes_on_with_what_is_left_of_its_budget(made, tmp_path):
    made(budget="3calls", store=tmp_path / "s.sqlite").ask(prompts("a", "b"))
    again = made(budget="3calls", store=tmp_path / "s.sqlite")
    answers = again.ask(prompts("a", "c", "d"))
    assert [type(answer.outcome) for answer in answers] == [Ok, Ok, OverBudget]


def test_money_without_a_price_is_refused_before_anything_is_asked(made):
    client = ScriptedClient(echo, model="openai:unheard-of")
    with pytest.raises(ConfigError, match=r"price of 'openai:unheard-of'.*price='INPUT,OUTPUT'"):
        Asker(client, budget="2usd")
    assert made(client, budget="2usd", price="1,2").counts.dollars == 0.0
    assert made(ScriptedClient(echo, model="openai:unheard-of")).counts.dollars is None


@pytest.mark.parametrize(
    ("outcome", "tokens"),
    [
        (Ok("x", Usage(10, 2)), 12),
        (Ok("x"), 33 + 256),  # nobody counted: as much as it can have been
        (Refused("no", Usage(10, 1)), 11),
        (TransportError("bad request", 400), 0),
        (TransportError("reset while answering"), 33 + 256),
        (TimedOut(1.0, sent=False), 0),
    ],
)
def test_what_nobody_counted_costs_the_worst(made, outcome, tokens):
    asker = made(lambda prompt: outcome)
    asker.ask(prompts("a"))
    assert asker.budget.spent.tokens == tokens
    assert asker.budget.held.tokens == 0
    assert asker.budget.spent.calls == (0 if isinstance(outcome, TimedOut) else 1)


def test_a_model_that_counts_more_than_expected_is_expected_to_go_on_so(made):
    asker = made(lambda prompt: Ok("x", Usage(2 * 289, 0)), budget="1500tokens")
    answers = asker.ask(prompts("a", "b"))
    answers += asker.ask(prompts("c"))  # 289 would fit into what is left, twice as much does not
    assert [type(answer.outcome) for answer in answers] == [Ok, Ok, OverBudget]


def test_a_late_answer_is_kept_and_not_paid_twice(made, tmp_path):
    client = Late()
    asker = made(client, store=tmp_path / "s.sqlite", budget="10calls")
    (answer,) = asker.ask(prompts("a"))
    assert isinstance(answer.outcome, TimedOut)
    assert asker.store.outcomes() == {"timeout": 1}
    assert asker.budget.held.calls == 1
    # Its answer may still come: it is not asked again.
    assert isinstance(asker.ask(prompts("a"))[0].outcome, TimedOut)
    assert isinstance(asker.submit(prompts("a"))[0].result(5).outcome, TimedOut)
    assert len(client.asked) == 1
    client.tell(Ok("at last", Usage(10, 2)))
    assert texts(asker.ask(prompts("a"))) == ["at last"]
    assert asker.store.outcomes() == {"ok": 1}
    assert (asker.budget.spent.calls, asker.budget.held.calls) == (1, 0)
    assert asker.counts.failed_by == {"timeout": 3}


def test_what_has_not_come_for_long_is_asked_again(made):
    client = Late()
    asker = made(client, timeout=0.05)
    asker.ask(prompts("a"))
    time.sleep(0.1)
    asker.ask(prompts("a"))
    assert len(client.asked) == 2
    assert asker.budget.held.calls == 2  # the first may have been billed all the same


def test_the_same_prompt_from_several_threads_is_asked_once(made):
    inside, go = threading.Event(), threading.Event()

    def slow(prompt):
        inside.set()
        assert go.wait(10)
        return echo(prompt)

    asker = made(slow)
    found = []
    threads = [threading.Thread(target=lambda: found.extend(asker.ask(prompts("a"))))]
    threads[0].start()
    assert inside.wait(10)
    joined = asker.submit(prompts("a", "a"))
    go.set()
    threads[0].join()
    assert texts([*found, *(future.result(10) for future in joined)]) == ["to a"] * 3
    assert (len(asker.client.asked), asker.counts.repeated) == (1, 2)


def test_waiting_for_anothers_call_ends_at_the_deadline(made):
    go = threading.Event()
    asker = made(lambda p: (go.wait(10), echo(p))[1], timeout=0.05)
    (future,) = asker.submit(prompts("a"))
    assert isinstance(asker.ask(prompts("a"))[0].outcome, TimedOut)
    go.set()
    assert future.result(10).outcome.text == "to a"


def test_submitted_prompts_are_gathered_into_batches(made):
    go, sizes = threading.Event(), []

    class Batches(ScriptedClient):
        def ask(self, prompts, **settings):
            sizes.append(len(prompts))
            assert go.wait(10)
            return super().ask(prompts, **settings)

    asker = made(Batches(echo), batch=8)
    futures = asker.submit(prompts("first"))
    while not sizes:
        time.sleep(0.001)
    for i in range(20):
        futures += asker.submit(prompts(f"{i}"))
    go.set()
    assert texts([f.result(10) for f in futures]) == ["to first", *(f"to {i}" for i in range(20))]
    assert sizes == [1, 8, 8, 4]


def test_cancelled_and_surplus_prompts_are_not_asked(made):
    go = threading.Event()
    asker = made(lambda prompt: (go.wait(10), echo(prompt))[1])
    first = asker.submit(prompts("first"))
    while not asker.client.asked:
        time.sleep(0.001)
    waiting = asker.submit(prompts(*(str(i) for i in range(WAITING + 3))))
    surplus = [future for future in waiting if future.done()]
    assert [future.result().outcome for future in surplus] == [TimedOut(0.0, sent=False)] * 3
    assert all(future.cancel() for future in waiting[1:WAITING])
    go.set()
    assert texts([future.result(10) for future in [*first, waiting[0]]]) == ["to first", "to 0"]
    assert asker.counts.failed_by == {"unsent": 3}
    asker.close()
    assert len(asker.client.asked) == 2


def test_many_threads_lose_nothing(made, tmp_path):
    asker = made(store=tmp_path / "s.sqlite", budget="1000calls")
    found = {}

    def work(name):
        mine = prompts(*(f"{i % 30}" for i in range(60)))
        futures = asker.submit(mine[:30])
        answers = asker.ask(mine[30:])
        found[name] = texts([*(f.result(20) for f in futures), *answers])

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answers == [f"to {i % 30}" for i in range(60)] for answers in found.values())
    assert len(found) == 6
    # Each prompt was paid once, whoever asked for it.
    counts = asker.counts
    assert (len(asker.client.asked), counts.calls, counts.asked) == (30, 30, 360)
    assert counts.cached + counts.repeated == 330
    assert asker.budget.spent.calls == asker.store.spent().calls == 30


def test_an_exception_reaches_the_caller_and_leaves_nobody_waiting(made):
    def broken(prompt):
        raise ZeroDivisionError("in the script")

    asker = made(broken)
    with pytest.raises(ZeroDivisionError):
        asker.ask(prompts("a"))
    (future,) = asker.submit(prompts("a"))
    assert isinstance(future.result(10).outcome, TransportError)
    asker._pump.join()
    with pytest.raises(ZeroDivisionError):
        asker.ask(prompts("b"))


def test_a_store_that_cannot_be_written_stops_asking(made, tmp_path):
    store = Store(tmp_path / "s.sqlite")
    asker = made(store=store)
    asker.ask(prompts("a"))
    full = "BEFORE INSERT ON answers BEGIN SELECT RAISE(FAIL, 'no room'); END"
    store._db.execute(f"CREATE TRIGGER full {full}")
    with pytest.raises(sqlite3.Error, match="no room"):
        asker.ask(prompts("b", "c", "d"))
    with pytest.raises(sqlite3.Error, match="no room"):
        asker.submit(prompts("e"))
    assert [prompt.turns[0].text for prompt in asker.client.asked] == ["a", "b"]


def test_closing_lets_go_of_everything_and_may_be_done_twice(tmp_path):
    go = threading.Event()
    asker = Asker(ScriptedClient(lambda p: (go.wait(10), echo(p))[1]), store=tmp_path / "s.sqlite")
    first = asker.submit(prompts("a"))
    while not asker.client.asked:
        time.sleep(0.001)
    rest = asker.submit(prompts("b"))
    threading.Timer(0.05, go.set).start()
    asker.close()
    asker.close()
    assert first[0].result(0).outcome.text == "to a"
    assert rest[0].result(0).outcome == TimedOut(0.0, sent=False)
    with pytest.raises(ValueError, match="closed"):
        asker.ask(prompts("c"))
    again = Store(tmp_path / "s.sqlite")
    assert len(again.answers()) == 1
    again.close()


def test_the_status_line_says_what_a_user_wants_to_know(made, tmp_path):
    asker = made(store=tmp_path / "s.sqlite", budget="2usd,100calls", price="100,100")
    asker.ask(prompts("a", "a", "b"))
    asker.ask(prompts("a"))
    assert asker.status() == "4 asked, 2 calls, 1 cached, $0.0024 of $2.00, 2 of 100 calls"
