"""The store: what it keeps, from whom, and what a killed run has of it."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from jaxrl.errors import ConfigError
from jaxrl.vlm.asker import Asker
from jaxrl.vlm.budget import Amount
from jaxrl.vlm.client import Sampling
from jaxrl.vlm.messages import Image, Ok, Prompt, Refused, TimedOut, TransportError, Turn, Usage
from jaxrl.vlm.scripted import ScriptedClient
from jaxrl.vlm.store import Store, key_of

FRAME = Image(b"the bytes of a picture")
PROMPT = Prompt.of("How far?", FRAME)


SAMPLING = Sampling()
COST = Amount(1, 10, 0.5)


def enter(store, prompt, outcome, *, model="m", sampling=SAMPLING, cost=COST):
    """One call, from being sent to its end; returns the key."""
    key = key_of(model, sampling, prompt)
    (call,) = store.sent(model, [key], [prompt], [Amount(1, 99, 9.0)])
    store.ended(call, outcome, 0.25, cost, sampling)
    return key


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "vlm" / "store.sqlite")
    yield store
    store.close()


@pytest.mark.parametrize(
    "outcome",
    [
        Ok("left, 3 degrees", Usage(7, 3)),
        Ok("it is a", Usage(7, 3), complete=False),
        Refused("no pictures", Usage(7, 0)),
    ],
)
def test_an_answer_comes_back_as_it_was_also_from_a_store_opened_anew(store, outcome):
    key = enter(store, PROMPT, outcome)
    assert store.find([key, "other"]) == {key: outcome}
    again = Store(store.path)
    assert again.find([key]) == {key: outcome}
    (record,) = again.answers()
    assert (record.outcome, record.prompt, record.seconds) == (outcome, PROMPT.digest, 0.25)
    again.close()


@pytest.mark.parametrize("outcome", [TransportError("reset"), TimedOut(3.0)])
def test_a_failure_is_in_the_ledger_and_not_among_the_answers(store, outcome):
    key = enter(store, PROMPT, outcome)
    assert store.find([key]) == {}
    assert sum(store.outcomes().values()) == 1 and "ok" not in store.outcomes()


def test_the_first_answer_to_a_key_stays(store):
    key = enter(store, PROMPT, Ok("first"))
    enter(store, PROMPT, Ok("second"))
    assert store.find([key])[key] == Ok("first")
    assert store.outcomes() == {"ok": 2}


def test_prompts_come_back_and_their_pictures_are_kept_once(store):
    talk = Prompt(
        (Turn("user", "a", (FRAME, FRAME)), Turn("assistant", "b"), Turn("user", "c")),
        "be brief",
        {"type": "object"},
        3,
    )
    for prompt in (talk, PROMPT):
        enter(store, prompt, Ok("x"))
    assert store.prompt(talk.digest) == talk
    assert store.prompt(talk.digest).digest == talk.digest
    count = sqlite3.connect(store.path).execute("SELECT COUNT(*) FROM images").fetchone()
    assert count == (1,)
    with pytest.raises(KeyError, match="no prompt"):
        store.prompt("nothing")
    with pytest.raises(KeyError, match="no image"):
        store.image("nothing")


def test_keys_tell_apart_model_sampling_and_prompt():
    extra = Sampling(extra=(("top_p", 1), ("logprobs", True)))
    keys = [
        key_of("a", Sampling(), PROMPT),
        key_of("b", Sampling(), PROMPT),
        key_of("a", Sampling(temperature=1.0), PROMPT),
        key_of("a", extra, PROMPT),
        key_of("a", Sampling(), Prompt.of("How far?", Image(b"another picture"))),
        key_of("a", Sampling(), Prompt.of("How far?", FRAME, sample=1)),
    ]
    assert len(set(keys)) == len(keys)
    turned = Sampling(extra=extra.extra[::-1])
    assert key_of("a", turned, PROMPT) == key_of("a", extra, PROMPT)


def test_what_json_cannot_say_is_no_part_of_a_key():
    with pytest.raises(ConfigError, match=r"sampling\.extra"):
        key_of("a", Sampling(extra=(("stop", object()),)), PROMPT)


def test_the_values_of_extra_parameters_are_not_written_down(store):
    enter(store, PROMPT, Ok("x"), sampling=Sampling(extra=(("headers", "Bearer sk-secret"),)))
    for path in store.path.parent.iterdir():
        assert b"sk-secret" not in path.read_bytes()


def test_the_ledger_counts_the_worst_until_it_knows(store):
    key = key_of("m", Sampling(), PROMPT)
    (call,) = store.sent("m", [key], [PROMPT], [Amount(1, 99, 9.0)])
    assert store.spent() == Amount(1, 99, 9.0)
    assert store.outcomes() == {"sent": 1}
    store.ended(call, Ok("x"), 0.1, Amount(1, 10, 0.5), Sampling())
    assert store.spent() == Amount(1, 10, 0.5)
    enter(store, PROMPT, Ok("x"), cost=Amount(1, 1, None))
    enter(store, PROMPT, TimedOut(1.0, sent=False), cost=Amount(0, 0, 0.0))
    assert store.spent() == Amount(2, 11, 0.5)


def test_half_a_surrogate_pair_does_not_lose_an_answer(store):
    key = enter(store, Prompt.of("a \ud800", system="\ud800"), Ok("left \ud83d 7"))
    assert store.find([key]) == {key: Ok("left ? 7")}


def test_the_last_answers_and_those_to_one_prompt(store):
    prompts = [Prompt.of(str(i)) for i in range(5)]
    for i, prompt in enumerate(prompts):
        enter(store, prompt, Ok(str(i)))
    enter(store, prompts[1], Ok("other"), model="n")
    assert [r.outcome.text for r in store.answers(last=2)] == ["4", "other"]
    assert [r.model for r in store.answers(prompt=prompts[1].digest)] == ["m", "n"]


def test_threads_write_and_read_at_once(store):
    def work(name):
        for i in range(25):
            enter(store, Prompt.of(f"{name} {i}"), Ok(f"{name} {i}"))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.answers()) == 100
    assert store.spent().calls == 100


def test_a_store_of_another_version_says_what_to_do(store):
    store._db.execute("UPDATE meta SET value = '99'")
    with pytest.raises(ConfigError, match=r"format 99.*reads format 1.*another path"):
        Store(store.path)


def test_what_is_no_store_is_refused_and_left_alone(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to be taken for the head of one " * 20)
    other = tmp_path / "other.sqlite"
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE mine (x)")
    db.commit()
    db.close()
    for path in (text, other, tmp_path, text / "below"):
        with pytest.raises(ConfigError, match="another path"):
            Store(path)
    assert text.read_text().startswith("not a database")


KILLED = """
import sys, time
from jaxrl.vlm.asker import Asker
from jaxrl.vlm.messages import Prompt
from jaxrl.vlm.scripted import ScriptedClient

def script(prompt):
    text = prompt.turns[0].text
    if text == "3":
        print("here", flush=True)
        time.sleep(60)
    return "answer to " + text

asker = Asker(ScriptedClient(script), store=sys.argv[1], budget="100calls")
asker.ask([Prompt.of(str(i)) for i in range(6)])
"""


def test_a_killed_run_never_pays_twice_for_an_answer_it_had(tmp_path):
    path = tmp_path / "store.sqlite"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, env=environment
    )
    assert run.stdout.readline() == b"here\n"
    run.send_signal(signal.SIGKILL)
    run.communicate()

    client = ScriptedClient(lambda prompt: "anew")
    asker = Asker(client, store=path, budget="8calls")
    assert asker.budget.spent.calls == 6  # those in flight may have been paid for
    answers = asker.ask([Prompt.of(str(i)) for i in range(5)])
    texts = [answer.outcome.text for answer in answers]
    assert texts == ["answer to 0", "answer to 1", "answer to 2", "anew", "anew"]
    assert [prompt.turns[0].text for prompt in client.asked] == ["3", "4"]
    assert [answer.cached for answer in answers] == [True, True, True, False, False]
    assert asker.budget.spent.calls == 8
    asker.close()

    # And once more: everything is there, nothing is called, the numbers are the same.
    client = ScriptedClient(lambda prompt: pytest.fail("was called"))
    asker = Asker(client, store=path, budget="0calls")
    again = asker.ask([Prompt.of(str(i)) for i in range(5)])
    assert [answer.outcome for answer in again] == [answer.outcome for answer in answers]
    assert (asker.counts.cached, asker.counts.calls, client.asked) == (5, 0, [])
    asker.close()
