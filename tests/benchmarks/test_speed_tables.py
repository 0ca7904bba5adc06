"""What the scripts make of their measurements: accounts, tables, and what is left out."""

import argparse

import pytest
import scaling
from speed_tables import roofline, shares, time_to_solve
from speed_tables import scaling as scaling_table
from time_to_solve import account, covered, step_reached

ABOUT = {
    "run": "2026-01-01T00:00:00",
    "date": "2026-01-01",
    "commit": "abc1234",
    "machine": {
        "processor": "P",
        "cores": 2,
        "versions": {"jax": "0.10.2"},
        "devices": ["cpu"],
    },
}
LOG = [
    {"step": 10, "eval/return": [None, 480.0], "time/train_seconds": 1.0, "time/eval_seconds": 0.0},
    {"step": 20, "eval/return": [400.0, 100.0], "time/train_seconds": 2.0, "time/eval_seconds": 0},
    {"step": 30, "eval/return": [475.0, 100.0], "time/train_seconds": 3.0, "time/eval_seconds": 1},
]


def test_a_run_has_solved_it_once_every_seed_has():
    assert step_reached(LOG, 475.0) == 30
    assert step_reached(LOG[:2], 475.0) is None
    assert step_reached([], 475.0) is None


def test_spans_that_overlap_are_covered_once():
    assert covered([(3.0, 4.0), (0.0, 1.0), (0.5, 2.0), (0.6, 0.7)]) == 3.0
    assert covered([]) == 0.0


def test_the_parts_of_an_account_are_the_whole():
    spans = {"trace": [[102.0, 104.0], [105.0, 106.0]], "compile": [[104.0, 107.0], [105.0, 109.0]]}
    told = {"started": 100.1, "imported": 102.0, "spans": spans}
    found = account(100.0, 114.0, told, LOG, 475.0)
    # What was traced while something else compiled is compiling.
    assert found == {
        "seconds": 14.0,
        "steps": 30,
        "imports": 2.0,
        "trace": 2.0,
        "compile": 5.0,
        "train": 4.0,
        "rest": 1.0,
    }


def test_the_table_of_times_has_medians():
    rows = [
        {"contestant": "jaxrl", "seeds": 1, "cache": "cold", "steps": 30, **parts, **ABOUT}
        for parts in (
            dict(seconds=x, imports=1.0, trace=1.0, compile=x - 3, train=1.0, rest=0.0)
            for x in (9.0, 20.0, 8.0)
        )
    ]
    rows.append({"contestant": "sb3", "seeds": 1, "cache": "cold", "seconds": 60.0, "steps": 90})
    rows[-1] |= ABOUT
    table = time_to_solve(rows)
    assert "| jaxrl | 1 | cold | 9.0 | 1.0 | 1.0 | 6.0 | 1.0 | 0.0 | 30 | 3 |" in table
    assert "| sb3 | 1 | cold | 60.0 | – | – | – | – | – | 90 | 1 |" in table


PEAK = {
    "kind": "machine",
    "flops_per_second": 1e9,
    "bytes_per_second": 1e9,
    "seconds_per_kernel": 1e-6,
    "product_size": 2048,
    "copy_bytes": 2**20,
    **ABOUT,
}
STEP = {
    "kind": "step",
    "step": "PPO",
    "num_envs": 4,
    "seeds": 1,
    "seconds": 0.01,
    "flops": 2e6,
    "product_flops": 1e6,
    "bytes": 1e6,
    "kernels": 5000.0,
    **ABOUT,
}


def test_shares_are_of_the_steps_time():
    assert shares(STEP, PEAK) == pytest.approx({"operations": 0.2, "bytes": 0.1, "kernels": 0.5})


def test_the_roofline_says_what_bounds_most():
    assert "| 5,000 | 20.0 | 10.0 | 50.0 | kernels |" in roofline([PEAK, STEP])


def test_a_point_over_its_budget_is_left_out_and_says_so():
    shape = {"num_envs": 1000, "seeds": 1, "devices": 1}
    before = {"rate": 32_000.0, "compile_seconds": 2.0}
    args = argparse.Namespace(rounds=3, budget=5.0)
    assert scaling.left_out(shape, None, args) is None
    assert scaling.left_out(shape, before, argparse.Namespace(rounds=3, budget=6.0)) is None
    assert scaling.left_out(shape, before, args) == {"left_out": "about 6 s, the budget is 5 s"}


def test_the_table_of_scaling_has_an_axis_after_the_other():
    base = {"axis": "seeds", "num_envs": 4, "devices": 1, **ABOUT}
    rows = [
        {**base, "seeds": 1, "rate": 1000.0, "memory_bytes": 2e6, "compile_seconds": 3.0},
        {**base, "seeds": 8, "rate": 4000.0, "memory_bytes": 9e6, "compile_seconds": 4.0},
        {**base, "seeds": 64, "left_out": "needs 9.0 GB of 8.0 GB that are free"},
    ]
    table = scaling_table(rows)
    assert "| 8 | 4 | 8 | 1 | 4,000 | 4.00 | 9 | 4.0 |" in table
    assert "left out: needs 9.0 GB" in table
