"""The gates in front of training, each shown to refuse and to let through."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.environment import make
from jaxrl.errors import ConfigError
from jaxrl.rewards.program import (
    Ranking,
    Steps,
    collect_steps,
    compile_program,
    examine,
    schema_of,
    steps_of_episode,
)
from jaxrl.rewards.program.gates import distance, rewards_of

HEAD = "def reward(state, action, next_state):\n"
UPRIGHT = (
    f"{HEAD}    return 1.0 - abs(next_state.pole_angle), {{'tilt': abs(next_state.pole_angle)}}"
)


@pytest.fixture(scope="module")
def schema(cartpole):
    return schema_of(*cartpole)


@pytest.fixture(scope="module")
def steps(cartpole):
    return collect_steps(*cartpole, count=1000, seed=3)


def by_feedback(obs, key):
    """Pushes the cart under the pole: a heuristic that keeps it up for hundreds of steps."""
    return (obs @ jnp.array([0.1, 0.3, 1.0, 0.3]) > 0).astype(jnp.int32)


def to_the_left(obs, key):
    return jnp.zeros(len(obs), jnp.int32)


def gates(verdict):
    return [refusal.gate for refusal in verdict.refusals]


def test_steps_show_what_training_will_meet(steps):
    assert steps.size == 1000 and set(np.unique(steps.action)) == {0, 1}
    np.testing.assert_allclose(steps.next_state["time"], steps.state["time"] + 1)
    moved = steps.state["cart_position"] + 0.02 * steps.state["cart_velocity"]
    np.testing.assert_allclose(steps.next_state["cart_position"], moved, atol=1e-6)
    fallen = np.abs(steps.next_state["pole_angle_degrees"]) > 12
    assert 0.02 < fallen.mean() < 0.5
    assert (steps.state["time"] == 0).sum() > 5
    assert (np.abs(steps.next_state["cart_velocity"]) > 1).any()


def test_steps_can_follow_an_actor(cartpole, steps):
    guided = collect_steps(*cartpole, count=1000, actor=by_feedback)
    assert guided.state["time"].max() > 2 * steps.state["time"].max()


def test_steps_of_continuous_actions_reach_the_bounds():
    steps = collect_steps(*make("Pendulum-v1"), count=256)
    assert steps.action.shape == (256, 1)
    assert steps.action.min() == -2 and steps.action.max() == 2 and (steps.action == 0).any()


def test_more_steps_than_are_played_are_refused(cartpole):
    with pytest.raises(ConfigError, match="count=0"):
        collect_steps(*cartpole, count=0)


def test_good_program_passes(schema, steps):
    verdict = examine(UPRIGHT, schema, steps, parent="p", provenance={"iteration": 1})
    assert verdict.passed and verdict.refusals == ()
    assert (verdict.program.parent, verdict.program.provenance) == ("p", {"iteration": 1})
    expected = 1 - np.abs(steps.next_state["pole_angle"].astype(np.float64))
    np.testing.assert_allclose(verdict.totals, expected, rtol=1e-6)


def test_text_that_is_refused_has_no_program(schema, steps):
    verdict = examine("def reward(s):\n    return 1", schema, steps)
    assert verdict.program is None and verdict.totals is None
    assert gates(verdict) == ["parse"] and verdict.refusals[0].line == 1
    assert gates(examine(f"{HEAD}    return (1.0, 2.0)", schema, steps)) == ["shape"]


def test_nan_is_refused_with_its_states_and_its_line(schema, steps):
    source = (
        f"{HEAD}    speed = next_state['cart_velocity']\n"
        "    if speed > 0:\n"
        "        bonus = 1.0\n"
        "    else:\n"
        "        bonus = jnp.sqrt(speed)\n"
        "    other = jnp.where(speed > 0, jnp.log(speed), 0.0)\n"
        "    return bonus + 0 * other\n"
    )
    verdict = examine(source, schema, steps)
    assert gates(verdict) == ["finite"]
    refusal, slow = verdict.refusals[0], steps.next_state["cart_velocity"] <= 0
    assert refusal.line == 6  # of the path that Python takes
    assert f"the total is nan on {(slow).sum()} of 1000 stored steps" in refusal.reason
    row = np.flatnonzero(slow)[0]
    shown = np.array2string(steps.next_state["cart_velocity"][row], precision=4)
    assert f"next_state.cart_velocity={shown}" in refusal.reason
    assert "pole_angle" not in refusal.reason  # which it does not read


def test_infinite_component_is_refused(schema, steps):
    source = f"{HEAD}    x = 1 / (action - 1)\n    return state.pole_angle, {{'x': x}}"
    verdict = examine(source, schema, steps)
    assert gates(verdict) == ["finite"]
    assert "component 'x' is -inf on" in str(verdict.refusals[0]).replace("is inf", "is -inf")
    assert verdict.refusals[0].line == 2


def test_constant_is_refused(schema, steps):
    verdict = examine(f"{HEAD}    return 1.0, {{'a': state.pole_angle}}", schema, steps)
    assert gates(verdict) == ["constant"]
    assert "the total is 1 on all 1000 stored steps" in str(verdict.refusals[0])


def test_ranking_is_of_whole_episodes(cartpole, schema, steps):
    good = steps_of_episode(*cartpole, by_feedback)
    bad = steps_of_episode(*cartpole, to_the_left)
    assert good.size == 500 and bad.size < 15
    np.testing.assert_array_equal(good.state["time"], np.arange(500))
    ranking = Ranking(good, bad)
    assert examine(UPRIGHT, schema, steps, ranking=ranking).passed
    # Each step of the good one is better, and still it pays to end the episode.
    costs = f"{HEAD}    return -abs(next_state.pole_angle) - 0.1"
    verdict = examine(costs, schema, steps, ranking=ranking)
    assert gates(verdict) == ["ranking"]
    assert "a good trajectory of 500 steps sums to -" in str(verdict.refusals[0])


def test_duplicates_are_found_by_text_and_by_values(schema, steps):
    first = examine(UPRIGHT, schema, steps)
    known = [examine("nonsense(", schema, steps), first]
    again = examine(f"# again\n{UPRIGHT}", schema, steps, known=known)
    assert gates(again) == ["duplicate"] and "again" in str(again.refusals[0])
    scaled = f"{HEAD}    return 3.0 * (1.0 - jnp.abs(next_state['pole_angle']))"
    assert gates(examine(scaled, schema, steps, known=known)) == ["duplicate"]
    shifted = f"{HEAD}    return -jnp.abs(next_state['pole_angle'])"
    assert examine(shifted, schema, steps, known=known).passed
    assert gates(examine(shifted, schema, steps, known=known, up_to_shift=True)) == ["duplicate"]
    negative = f"{HEAD}    return abs(next_state.pole_angle) - 1.0"
    assert examine(negative, schema, steps, known=known).passed
    other = f"{HEAD}    return 1.0 - 0.1 * next_state.cart_position ** 2"
    assert examine(other, schema, steps, known=known).passed


def test_distance_is_pearson_s():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 500))
    rho = np.corrcoef(a, b)[0, 1]
    assert distance(a, b) == pytest.approx(np.sqrt((1 - rho) / 2))
    assert distance(a, 3 * a - 7) == pytest.approx(0, abs=1e-6)
    assert distance(a, -a) == pytest.approx(1)
    assert distance(np.abs(a), np.abs(a) + 5, up_to_shift=False) > 0.1
    assert distance(a, np.full(500, np.nan)) == distance(a, np.zeros(500)) == 1


def test_rewards_of_stored_steps(schema, steps):
    program = compile_program(UPRIGHT, schema)
    total, components = rewards_of(program, steps)
    np.testing.assert_allclose(total, 1 - components["tilt"], rtol=1e-6)
    one = Steps(*steps.row(5))
    assert float(program(*one)[0]) == pytest.approx(total[5])
    assert steps.text(5, ("pole_angle",)).startswith("action=")
