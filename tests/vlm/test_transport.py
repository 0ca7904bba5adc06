"""Deadlines, retries, concurrency and late answers, with functions in place of a network."""

import contextlib
import math
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl.errors import ConfigError
from jaxrl.vlm.messages import Ok, Prompt, Refused, TimedOut, TransportError
from jaxrl.vlm.transport import Failure, Retries, Transport, retry_after

YES, LATE = Ok("yes"), Ok("late")
FAST = Retries(limit=3, base=0.02, cap=0.05)


class Sender:
    """Plays a script of outcomes for each prompt by its text; the last one for ever."""

    def __init__(self, default=YES, delay=0.0, **scripts):
        self.default, self.delay, self.scripts = default, delay, scripts
        self.calls = []
        self.times = []
        self.lock = threading.Lock()
        self.running = self.greatest = 0

    def __call__(self, prompt, seconds):
        text = prompt.turns[-1].text
        with self.lock:
            count = self.calls.count(text)
            self.calls.append(text)
            self.times.append(time.monotonic())
            self.running += 1
            self.greatest = max(self.greatest, self.running)
        try:
            step = self.scripts.get(text, [self.default])
            step = step[min(count, len(step) - 1)]
            time.sleep(self.delay)
            if callable(step):
                step = step()
            if isinstance(step, Exception):
                raise step
            return step
        finally:
            with self.lock:
                self.running -= 1


def later(seconds, outcome=LATE):
    def step():
        time.sleep(seconds)
        return outcome

    return step


def eventually(condition):
    ends = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.005)


def failure(reason="down", **settings):
    return Failure(TransportError(reason, 503), **{"again": True} | settings)


def prompts(*texts):
    return [Prompt.of(text) for text in texts]


def test_outcomes_come_in_the_order_of_the_prompts_and_each_is_told_once():
    send = Sender(a=[later(0.05, Ok("A"))], b=[Refused("no")])
    told = []
    outcomes = Transport(send).ask(
        prompts("a", "b", "c"), timeout=1, on_outcome=lambda *end: told.append(end)
    )
    assert outcomes == [Ok("A"), Refused("no"), Ok("yes")]
    assert sorted(told) == list(enumerate(outcomes))
    assert Transport(send).ask([], timeout=1) == []


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_calls_at_a_time_than_allowed_over_all_batches(concurrency):
    send = Sender(delay=0.01)
    transport = Transport(send, concurrency=concurrency)
    batches = [
        threading.Thread(target=transport.ask, args=(prompts(*"abcd"),), kwargs={"timeout": 5})
        for _ in range(2)
    ]
    for batch in batches:
        batch.start()
    for batch in batches:
        batch.join()
    assert len(send.calls) == 8 and send.greatest == concurrency


def test_what_may_pass_is_tried_again_and_what_will_not_is_not():
    send = Sender(
        a=[failure(), failure(), Ok("A")],
        b=[Failure(TransportError("bad request", 400))],
        c=[failure()],
    )
    a, b, c = Transport(send, retries=FAST).ask(prompts("a", "b", "c"), timeout=2)
    assert a == Ok("A") and b == TransportError("bad request", 400)
    assert c == TransportError("down (after 4 tries)", 503)
    assert [send.calls.count(text) for text in "abc"] == [3, 1, 4]


def test_waits_grow_and_depend_on_the_generator_alone():
    retries = Retries(base=0.5, cap=4.0)
    assert [retries.wait(n, 0.0) for n in range(5)] == [0.5, 1, 2, 4, 4]
    assert retries.wait(2, 0.5) == 1.5
    assert retries.wait(10_000, 0.0) == 4.0

    def waits(seed):
        transport = Transport(Sender(), rng=np.random.default_rng(seed))
        return [transport._wait(failure(), n) for n in range(4)]

    assert waits(0) == waits(0) != waits(1)


def test_a_wish_to_wait_is_kept_by_everybody():
    send = Sender(a=[failure(after=0.2), Ok("A")], b=[later(0.05), Ok("b")])
    transport = Transport(send, concurrency=1)
    assert transport.ask(prompts("a", "b"), timeout=2)[0] == Ok("A")
    assert send.times[1] - send.times[0] >= 0.2


def test_nobody_waits_beyond_the_deadline():
    send = Sender(a=[failure(after=30)])
    transport = Transport(send, concurrency=1)
    began = time.monotonic()
    first, second = transport.ask(prompts("a", "b"), timeout=0.5)
    assert time.monotonic() - began < 0.4
    assert first == TransportError("down", 503)
    assert second.status == 503 and "30.0 s of rest" in second.reason
    assert send.calls == ["a"]


def test_the_deadline_holds_for_the_batch_and_late_answers_are_told():
    send = Sender(a=[later(0.7)], b=[later(0.6, Refused("no"))], c=[later(0.6, failure())])
    transport = Transport(send, concurrency=4)
    transport.ask(prompts("warm"), timeout=1)
    told, lock = [], threading.Lock()

    def listen(*end):
        with lock:
            told.append(end)

    began = time.monotonic()
    outcomes = transport.ask(prompts("a", "b", "c", "d"), timeout=0.2, on_outcome=listen)
    assert 0.19 < time.monotonic() - began < 0.55
    assert outcomes == [TimedOut(0.2), TimedOut(0.2), TimedOut(0.2), Ok("yes")]
    assert len(told) == 4
    eventually(lambda: len(told) == 7)
    assert sorted(told[4:], key=lambda end: end[0]) == [
        (0, Ok("late")),
        (1, Refused("no")),
        (2, TransportError("down", 503)),
    ]
    assert send.calls.count("c") == 1  # what fails late is not sent again


def test_prompts_that_never_left_are_told_apart():
    send = Sender(a=[later(0.4)])
    transport = Transport(send, concurrency=1)
    outcomes = transport.ask(prompts("a", "b"), timeout=0.2)
    assert outcomes == [TimedOut(0.2, sent=True), TimedOut(0.2, sent=False)]
    eventually(lambda: not send.running)
    time.sleep(0.05)
    assert send.calls == ["a"]


def test_what_failed_last_is_reported_at_the_deadline():
    send = Sender(a=[failure("first"), later(0.5)], b=[failure("busy")])
    a, b = Transport(send, retries=Retries(limit=99, base=0.05)).ask(prompts("a", "b"), timeout=0.3)
    assert a == TimedOut(0.3)
    assert b.reason.startswith("busy") and b.status == 503


def test_after_a_fatal_error_nothing_more_is_sent():
    wrong = TransportError("wrong key", 401, fatal=True)
    send = Sender(delay=0.02, a=[Failure(wrong)])
    transport = Transport(send)
    began = time.monotonic()
    assert transport.ask(prompts(*"abcdefghijkl"), timeout=5) == [wrong] * 12
    assert send.calls == ["a"] and time.monotonic() - began < 1
    # Calls that were under way when it came keep their own outcomes.
    send = Sender(delay=0.1, c=[Failure(wrong)], d=[later(0.1)])
    transport = Transport(send, concurrency=3)
    transport.ask(prompts("warm"), timeout=1)
    found = transport.ask(prompts(*"cdefghij"), timeout=5)
    assert found[:2] == [wrong, Ok("late")] and found[-1] == wrong
    assert len(send.calls) <= 5


def test_a_first_call_that_hangs_does_not_hold_up_the_others():
    send = Sender(a=[later(0.9)])
    outcomes = Transport(send).ask(prompts("a", "b", "c"), timeout=0.6)
    assert outcomes == [TimedOut(0.6), Ok("yes"), Ok("yes")]


def test_errors_of_the_listener_reach_the_caller():
    def listen(index, outcome):
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        Transport(Sender()).ask(prompts("a", "b"), timeout=1, on_outcome=listen)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_of_our_own_is_not_taken_for_a_fault_of_the_server():
    with pytest.raises(ZeroDivisionError):
        Transport(Sender(a=[ZeroDivisionError("ours")])).ask(prompts("a"), timeout=5)
    time.sleep(0.1)  # the thread reports it too


def test_closing_wakes_who_waits_and_forgets_what_is_out():
    send = Sender(a=[later(0.6)])
    transport = Transport(send)
    told, found = [], []

    def ask():
        found.extend(
            transport.ask(prompts("a"), timeout=5, on_outcome=lambda *end: told.append(end))
        )

    asking = threading.Thread(target=ask)
    asking.start()
    eventually(lambda: send.running)
    transport.close()
    transport.close()
    asking.join(timeout=0.4)
    assert not asking.is_alive() and found == [TimedOut(5)]
    eventually(lambda: not send.running)
    time.sleep(0.05)
    assert told == [(0, TimedOut(5))]
    with pytest.raises(RuntimeError, match="closed"):
        transport.ask(prompts("b"), timeout=1)
    assert send.calls == ["a"]


def test_threads_are_kept_from_batch_to_batch():
    seen = set()

    def send(prompt, seconds):
        seen.add(threading.current_thread())
        time.sleep(0.02)
        return Ok("yes")

    transport = Transport(send, concurrency=4)
    for _ in range(5):
        transport.ask(prompts(*"abcdefgh"), timeout=5)
    assert len(seen) == 4 and all(thread.is_alive() for thread in seen)
    transport.close()
    eventually(lambda: not any(thread.is_alive() for thread in seen))


def test_idle_threads_end_and_new_ones_come(monkeypatch):
    monkeypatch.setattr("jaxrl.vlm.transport.IDLE", 0.05)
    threads = []

    def send(prompt, seconds):
        threads.append(threading.current_thread())
        return Ok("yes")

    transport = Transport(send, concurrency=2)
    for _ in range(3):
        assert transport.ask(prompts("a"), timeout=5) == [Ok("yes")]
        eventually(lambda: not threads[-1].is_alive())
    assert len(set(threads)) == 3


def test_a_hanging_call_keeps_nobody_else_from_a_thread():
    transport = Transport(Sender(a=[later(0.4)]), concurrency=2)
    transport.ask(prompts("warm"), timeout=5)
    assert transport.ask(prompts("a"), timeout=0.1) == [TimedOut(0.1)]
    began = time.monotonic()
    assert transport.ask(prompts("b"), timeout=5) == [Ok("yes")]
    assert time.monotonic() - began < 0.3


def test_a_listener_is_told_which_outcomes_came_together():
    class Listening:
        def __init__(self):
            self.groups = []

        def __call__(self, index, outcome):
            self.groups[-1].append(index)

        @contextlib.contextmanager
        def together(self):
            self.groups.append([])
            yield
            time.sleep(0.05)  # to write them down takes a while

    listener = Listening()
    transport = Transport(Sender(delay=0.02), concurrency=8)
    transport.ask(prompts("warm"), timeout=5)
    transport.ask(prompts(*"abcdefgh"), timeout=5, on_outcome=listener)
    assert sorted(index for group in listener.groups for index in group) == list(range(8))
    assert max(map(len, listener.groups)) > 1
    transport.close()


def test_at_least_one_call_at_a_time():
    with pytest.raises(ConfigError, match="concurrency=0"):
        Transport(Sender(), concurrency=0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "-3"}, 0.0),
        (
            {
                "retry-after": "Thu, 26 Nov 2026 03:00:09 GMT",
                "date": "Thu, 26 Nov 2026 03:00:00 GMT",
            },
            9.0,
        ),
        ({"retry-after": "Thu, 26 Nov 2015 03:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "x"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers, seconds):
    assert retry_after(headers) == seconds


@settings(max_examples=40)
@given(st.text(max_size=40), st.text(max_size=40))
def test_no_header_breaks_it(wish, date):
    found = retry_after({"retry-after": wish, "date": date})
    assert found is None or (math.isfinite(found) and found >= 0)
