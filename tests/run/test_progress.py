"""The progress line, on a terminal and off it."""

import io

import pytest
from rich.console import Console

from jaxrl.run import progress as module
from jaxrl.run.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


def written(terminal=False):
    return Console(file=io.StringIO(), force_terminal=terminal, width=160, highlight=False)


def test_plain_lines_are_few_and_whole(make_info, make_point, make_result):
    console = written()
    progress = Progress(console)
    progress.on_start(make_info(total_steps=20_000, total_updates=200))
    for update in range(1, 201):
        progress.on_log(make_point(update))
    progress.on_end(make_result())
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "ppo on CartPole-v1: 3 seeds, 20,000 steps each; compiling …"
    assert lines[1] == "compiled in 1.5 s"
    assert 10 <= len(lines) <= module.PLAIN_LINES + 3
    assert lines[-1].startswith("100%") and "20,000 steps" in lines[-1]
    assert "1,000 steps/s" in lines[-1] and "0 s left" in lines[-1]
    assert "\x1b" not in console.file.getvalue()


def test_returns_of_training_and_evaluation(make_info, make_point):
    console = written()
    progress = Progress(console)
    progress.on_start(make_info())
    progress.on_log(make_point(1, evaluate=False))  # not evaluated yet; one seed has no episode
    evaluated = make_point(5)
    progress.on_log(evaluated)
    progress.on_log(make_point(6, evaluate=False))  # the last evaluation stays
    first, second, third = console.file.getvalue().splitlines()[2:]
    assert "return     10.0" in first and "eval        –" in first
    score = f"eval {evaluated.evaluation.per_seed.mean():8.1f}"
    assert score in second and score in third


def test_time_left_of_a_resumed_run(make_info, make_point, clock):
    console = written()
    progress = Progress(console)
    progress.on_start(make_info())
    # Resumed at update 7 of 10: 10 s an update, so that 10 s are left after the ninth.
    for update in (8, 9):
        clock[0] += 10
        progress.on_log(make_point(update))
    assert " 10 s left" in console.file.getvalue().splitlines()[-1]


def test_terminal_has_one_live_line_and_is_given_back(make_info, make_point, make_result):
    console = written(terminal=True)
    progress = Progress(console)
    progress.on_start(make_info())
    progress.on_log(make_point(3))
    assert "300 steps" in console.file.getvalue()
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    assert console.file.getvalue().count(hidden) == 1
    progress.close()  # as after an exception
    progress.on_end(make_result())
    assert console.file.getvalue().count(shown) == 1


def test_a_point_without_steps_has_no_speed(make_info, make_point):
    """Whole episodes may have gone past it already; also as the first point after a resume."""
    console = written()
    progress = Progress(console)
    progress.on_start(make_info())
    point = make_point(3)
    point.timing["time/steps_per_second"] = float("nan")
    progress.on_log(point)
    assert "– steps/s" in console.file.getvalue()


def test_a_sweep_says_how_many_settings(make_info):
    console = written()
    labels = tuple({"gamma": g} for g in (0.9, 0.9, 0.99, 0.99))
    Progress(console).on_start(make_info(seeds=4, labels=labels))
    assert "2 settings × 2 seeds" in console.file.getvalue()
