"""Contestants that take turns: who measures when, what is told, and what ends a run."""

import sys

import pytest
import turns
from turns import in_turns

SCRIPT = """
import pathlib, sys, time
from turns import Contest, serve

name, log, seconds = sys.argv[1], pathlib.Path(sys.argv[2]), float(sys.argv[3])

def play():
    with log.open("a") as file:
        file.write(name)
    time.sleep(seconds)

def make():
    print("a library says hello")
    return Contest(play, 10, lambda: {"called": name})

serve(make)
"""


@pytest.fixture
def contestant(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(turns.__file__.rpartition("/")[0]))

    def command(name, seconds):
        return [sys.executable, "-c", SCRIPT, name, str(tmp_path / "log"), str(seconds)]

    command.log = tmp_path / "log"
    return command


def test_contestants_measure_round_by_round(contestant):
    first, second = in_turns([contestant("a", 0.2), contestant("b", 0.2)], rounds=3)
    # Both make one call, side by side, then two in a turn that does not count, then one a round.
    log = contestant.log.read_text()
    assert sorted(log[:2]) == ["a", "b"] and log[2:] == "aabb" + "ab" * 3
    assert [first["called"], second["called"]] == ["a", "b"]
    assert len(first["rates"]) == 3
    assert first["rate"] == sorted(first["rates"])[1]
    assert 10 < first["rate"] <= 50  # ten things in 0.2 s, or later on a busy machine


def test_a_short_call_is_repeated_and_a_long_one_has_fewer_rounds(contestant, monkeypatch):
    monkeypatch.setattr(turns, "LONGEST", 0.1)
    short, long = in_turns([contestant("s", 0.02), contestant("l", 0.2)], rounds=5)
    log = contestant.log.read_text()
    assert len(long["rates"]) == 3 and log.count("l") == 3 + 3
    assert log.count("s") > 3 + 5
    assert short["rate"] > long["rate"]


def test_a_contestant_that_fails_ends_the_run(contestant):
    with pytest.raises(SystemExit, match=r"-c nothing ended with 1"):
        in_turns([contestant("a", 0.01), [sys.executable, "-c", "nothing"]], rounds=1)
    dying = [sys.executable, "-c", "print('ready')"]
    with pytest.raises(SystemExit, match="ended with 0"):
        in_turns([contestant("a", 0.3), dying], rounds=1)
