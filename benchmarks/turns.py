"""Contestants that are measured in turns, each in a process of its own.

A machine that others use too is at times twice as slow for some seconds. What is measured one after
the other meets different times. Here all contestants are ready before the first is measured; then
each measures a round of a tenth of a second, and the next round begins. The first does not count.
A process that waits for its turn takes no time of a core.

    in_turns([command, ...], rounds)    by who measures
    serve(make)                         by the process that a command starts
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

SHORTEST, LONGEST = 0.1, 3.0
"""Seconds that a round takes, and after which a contestant has no further one, but the fewest."""
FEWEST_ROUNDS = 3

Measured = dict[str, Any]


class Contest(NamedTuple):
    """Something to be timed.

    Attributes:
        play: does `count` things, and returns when they are done.
        count: how many.
        about: what is to be told beside the rates, asked for at the end.
    """

    play: Callable[[], Any]
    count: int
    about: Callable[[], Measured]


def serve(make: Callable[[], Contest]) -> None:
    """Measures a round for every line of the standard input, and tells it on the standard output.

    How many calls make a round is found in the first, when no other contestant is at work.

    Args:
        make: imports what the contestant needs, and sets it up.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries print greetings
    contest = make()
    contest.play()
    print("ready", file=answers)
    calls = 0
    for _ in sys.stdin:
        calls = calls or math.ceil(SHORTEST / seconds_of(contest.play, 1))
        print(json.dumps([calls * contest.count, seconds_of(contest.play, calls)]), file=answers)
    print(json.dumps(contest.about()), file=answers)


def seconds_of(play: Callable[[], Any], calls: int) -> float:
    """How long so many calls take."""
    began = time.perf_counter()
    for _ in range(calls):
        play()
    return time.perf_counter() - began


def in_turns(commands: Sequence[Sequence[str]], rounds: int) -> list[Measured]:
    """Measures the contestants that commands start: `rate`, the median of `rates`, and the rest.

    Raises:
        SystemExit: one of them ended before it was asked to.
    """
    with ExitStack() as stack:
        contestants = [stack.enter_context(_Contestant(command)) for command in commands]
        for contestant in contestants:
            contestant.answer()
        for contestant in contestants:
            contestant.turn()
        for _ in range(rounds):
            for contestant in contestants:
                contestant.take_turn()
        return [contestant.end() for contestant in contestants]


class _Contestant:
    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._rates: list[float] = []
        self._seconds = 0.0

    def __enter__(self) -> _Contestant:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(BrokenPipeError), self._process:  # one that is dead has not read all
            self._process.kill()

    def answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(self._command)} ended with {self._process.wait()}")
        return line

    def turn(self) -> tuple[int, float]:
        """How many things were done in a round, and in how many seconds."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # told by the missing answer
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        count, seconds = json.loads(self.answer())
        return count, seconds

    def take_turn(self) -> None:
        if self._seconds >= LONGEST and len(self._rates) >= FEWEST_ROUNDS:
            return
        count, seconds = self.turn()
        self._rates.append(count / seconds)
        self._seconds += seconds

    def end(self) -> Measured:
        assert self._process.stdin is not None
        self._process.stdin.close()
        about = json.loads(self.answer())
        return {"rate": statistics.median(self._rates), "rates": self._rates, **about}
