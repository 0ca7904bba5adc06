"""The roofline: its steps are counted and timed, those that draw starts by need too."""

import pytest
import roofline


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_a_bare_environment_is_counted_and_timed(name, monkeypatch):
    monkeypatch.setattr(roofline, "ROLLOUT", 4)
    monkeypatch.setattr(roofline, "ROUND_SECONDS", 0.0)
    measured = roofline.environment_step(name, 8, 1)
    assert measured["env_steps"] == 32
    assert measured["flops"] > 32 * 20 and measured["kernels"] > 5 and measured["bytes"] > 0
