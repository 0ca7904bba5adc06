"""What is timed of stepping: as many steps as are claimed, with episodes that end under way."""

import os
import sys

import gymnasium
import pytest
import stepping
from stepping import CONTESTANTS, FEWEST_STEPS, MOST_STEPS, STEPS, steps_of
from turns import in_turns

LANES = 4


def test_a_call_takes_so_many_steps_of_a_lane():
    assert steps_of(1) == MOST_STEPS and steps_of(2**20) == FEWEST_STEPS
    assert steps_of(512) == STEPS // 512


@pytest.mark.parametrize("by", ["jaxrl", "jaxrl, pooled", "gymnax", "gymnax, our actions"])
def test_lanes_on_a_device_go_on_and_their_episodes_end(by):
    contest = CONTESTANTS[by]("CartPole-v1", LANES)
    contest.play()
    contest.play()
    about = contest.about()
    assert about["devices"] == 1
    assert 0.03 < about["ends_per_step"] < 0.06  # a random episode has 22 steps


def test_as_many_steps_of_ours_are_made_as_are_counted(monkeypatch):
    made = []

    def rollout(*args):
        end, seen = stepping_rollout(*args)
        made.append(seen.reward.size)
        return end, seen

    stepping_rollout = stepping.rollout
    monkeypatch.setattr(stepping, "rollout", rollout)
    contest = CONTESTANTS["jaxrl"]("CartPole-v1", LANES)
    contest.play()
    assert made == [contest.count]


@pytest.mark.parametrize(
    ("name", "mode"), [("CartPole-v1", "vector_entry_point"), ("Acrobot-v1", "sync")]
)
def test_gymnasiums_lanes_are_stepped_as_often_as_is_counted(monkeypatch, name, mode):
    made, make = [], gymnasium.make_vec

    def make_vec(*args):
        envs = make(*args)
        step = envs.step
        envs.step = lambda action: made.append(len(action)) or step(action)
        return envs

    monkeypatch.setattr(gymnasium, "make_vec", make_vec)
    contest = CONTESTANTS["gymnasium"](name, LANES)
    contest.play()
    assert sum(made) == contest.count
    assert contest.about() == {"mode": mode}


def test_lanes_are_shared_out_among_the_cores():
    command = [sys.executable, stepping.__file__, "jaxrl, all devices", "CartPole-v1", "64"]
    (measured,) = in_turns([command], rounds=1)
    cores = len(os.sched_getaffinity(0))
    assert (measured["devices"] > 1) == (cores > 1)
    assert 64 % measured["devices"] == 0 and measured["devices"] <= cores
    assert 0.03 < measured["ends_per_step"] < 0.06
