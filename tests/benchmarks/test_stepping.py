"""What is timed of stepping: as many steps as are claimed, with episodes that end under way."""

import pytest
from stepping import CONTESTANTS, FEWEST_STEPS, MOST_STEPS, STEPS, steps_of

LANES = 4


def test_a_call_takes_so_many_steps_of_a_lane():
    assert steps_of(1) == MOST_STEPS and steps_of(2**20) == FEWEST_STEPS
    assert steps_of(1024) == STEPS // 1024


@pytest.mark.parametrize("by", ["jaxrl", "jaxrl, pooled", "gymnax"])
def test_lanes_on_a_device_go_on_and_their_episodes_end(by):
    contest = CONTESTANTS[by]("CartPole-v1", LANES)
    assert contest.count == LANES * steps_of(LANES)
    contest.play()
    contest.play()
    about = contest.about()
    assert about["devices"] == 1
    assert 0.03 < about["ends_per_step"] < 0.06  # a random episode has 22 steps


def test_gymnasiums_numpy_lanes_are_stepped_as_often():
    contest = CONTESTANTS["gymnasium"]("CartPole-v1", LANES)
    contest.play()
    assert contest.count == LANES * steps_of(LANES)
    assert contest.about() == {"mode": "vector_entry_point"}
