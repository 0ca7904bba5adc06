"""What an author is shown: the best program's course, and every refusal with its line."""

import numpy as np

from jaxrl.search.records import Candidate, Curves, Iteration, Proposal, best_of
from jaxrl.search.reflect import of_curves, reflection, shot_rows

STEPS = tuple(range(10_000, 310_000, 10_000))


def candidate(fitness, source="def reward(s, a, n): ...", **parts):
    ramp = np.linspace(0, 1, 30)[:, None] * np.array([[1.0, 3.0]])
    curves = Curves(STEPS, ramp * fitness / 2, -ramp, ramp * 100, {"upright": ramp * 0 + 0.5})
    return Candidate(Proposal(source), "id", curves=curves, fitness=(fitness, fitness), **parts)


def test_nothing_is_said_before_the_first_iteration():
    assert reflection([]) == ""


def test_the_best_program_is_shown_whole_with_its_course():
    history = [
        Iteration(0, (candidate(900.0, "BEST"), candidate(10.0, "WORSE"))),
        Iteration(1, (candidate(500.0, "LATER"),)),
    ]
    text = reflection(history)
    assert "The best program so far (iteration 0), fitness 900" in text
    assert "BEST" in text and "WORSE" not in text
    assert "Program 0 of the last iteration reached fitness 500" in text
    assert "component upright (mean a step): [0.5, 0.5" in text
    # Means of two seeds of which one is three times the other, the last of ten columns shown.
    assert "fitness: [0, " in text and "900], lowest 0, highest 900" in text
    assert text.count("300000]") == 1


def test_refusals_are_given_back_with_their_lines_and_the_text():
    refused = Candidate(Proposal("def reward(x): ..."), refusals="- line 1: reward takes 1")
    text = reflection([Iteration(0, (refused,))])
    assert "was refused and not trained:\n- line 1: reward takes 1" in text
    assert "def reward(x)" in text and "best program" not in text


def test_a_program_that_diverged_is_named_so_and_has_no_number():
    gone = Candidate(
        Proposal("GONE"), "id", diverged=(3, None), curves=candidate(1.0).curves, fitness=()
    )
    text = reflection([Iteration(0, (gone,))])
    assert "its numbers stopped being finite" in text and "GONE" in text
    assert Iteration(0, (gone,)).best is None and gone.score is None


def test_seeds_without_a_number_are_left_out_of_means():
    curves = candidate(2.0).curves
    holed = Curves(
        STEPS, np.where([[True, False]], curves.fitness, np.nan), curves.generated,
        curves.length, {},
    )  # fmt: skip
    text = of_curves(Candidate(Proposal(""), curves=holed), brief=True)
    assert text.startswith("fitness 1,")


def test_screenshots_are_of_the_start_the_quarters_and_the_end():
    assert shot_rows(2000) == [0, 500, 1000, 1500, 2000]
    assert shot_rows(0) == [0] * 5 and shot_rows(3) == [0, 1, 2, 2, 3]


def test_records_are_what_was_written():
    whole = Iteration(2, (candidate(7.0), Candidate(Proposal("x", "p", "n"))), {"all": 1.0}, "", 5)
    again = Iteration.from_json(whole.to_json())
    assert again.to_json() == whole.to_json()
    np.testing.assert_array_equal(again.candidates[0].curves.fitness, candidate(7.0).curves.fitness)
    assert best_of([again]) == (2, 0) and best_of([]) is None
    # Of equals the last: its author does not stay at one program.
    assert best_of([Iteration(0, (candidate(7.0),)), Iteration(1, (candidate(7.0),))]) == (1, 0)
