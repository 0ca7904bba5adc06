"""Episodes side by side: those that evaluation plays, asked for in one batch a decision."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agents.conftest import Batches, lean

import jaxrl
from jaxrl.agents import AgentConfig, vlm_agent
from jaxrl.errors import ModelError
from jaxrl.evaluation import evaluation_key, play_episodes
from jaxrl.run.video import rollout_frames
from jaxrl.vlm.asker import Asker
from jaxrl.vlm.budget import Budget
from jaxrl.vlm.client import Sampling
from jaxrl.vlm.messages import Ok, OverBudget, Refused, TimedOut, TransportError, Usage
from jaxrl.vlm.prices import worst_case

RULE = """def act(state):
    falling = state.pole_angle + 0.3 * state.pole_angular_velocity
    return 1 if falling > 0 else 0
"""


def plan(**fields):
    return json.dumps({"reasoning": "", "plan": [], "rule": "", "steps": 0} | fields)


def balanced(state, obs, key, greedy):
    """The policy that `lean` says, on the device."""
    return (obs[:, 2] + 0.3 * obs[:, 3] > 0).astype(jnp.int32)


@pytest.fixture(scope="module")
def on_device(cartpole):
    """The episodes of `balanced` as evaluation plays them."""
    env, params = cartpole
    settings = dict(num_episodes=3, max_steps=40, greedy=True)
    play = jax.jit(lambda key: play_episodes(env, balanced, None, params, key, **settings))
    return play(evaluation_key(0))


def test_the_episodes_are_those_of_evaluate(play, on_device):
    played, agent, _ = play(lean, episodes=3, steps=40)
    for mine, theirs in zip(played.episodes, on_device, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    summary = jaxrl.evaluate(agent, None, num_episodes=3, max_steps=40, seed=0)
    np.testing.assert_array_equal(summary.returns, np.asarray(on_device.returns)[None])
    assert summary.finished.shape == (1, 3)


def test_a_rule_runs_without_asking_and_plays_the_same_episodes(play, on_device):
    said = plan(rule=RULE, steps=20)
    played, _, client = play(lambda _: said, episodes=3, steps=40, cadence="plan")
    np.testing.assert_array_equal(played.episodes.lengths, on_device.lengths)
    assert [len(batch) for batch in client.batches] == [3, 3]
    assert played.decisions[0].action.startswith("a rule for 20 steps")


def test_one_batch_a_decision_and_lanes_that_have_ended_ask_nothing(play):
    def script(prompt):
        return "'push left'"

    played, _, client = play(script, episodes=8, steps=30)
    lengths = np.sort(played.episodes.lengths)
    assert lengths[0] < lengths[-1] < 30, "pushing left alone ends early, at different times"
    running = [int((lengths > t).sum()) for t in range(lengths[-1])]
    assert [len(batch) for batch in client.batches] == running
    assert len(played.decisions) == lengths.sum()
    assert played.terminated.all() and played.episodes.finished.all()


@pytest.mark.parametrize(("cadence", "batches"), [("1", 12), ("4", 3), ("5", 3)])
def test_an_answer_is_held_for_k_steps(play, cadence, batches):
    _, _, client = play(lean, cadence=cadence)
    assert len(client.batches) == batches
    held = f"for {cadence} steps" in client.asked[0].system
    assert held == (cadence != "1")


def test_lanes_with_plans_of_different_lengths_wait_for_each_other(play):
    """Six actions and two: asked together, for the model is dearer than the wait."""
    lengths = iter([6, 2, 6, 4, 6])

    def script(_):
        steps = [{"action": name, "steps": 1} for name in ("push left", "push right")]
        return plan(plan=steps * (next(lengths, 2) // 2))

    _, _, client = play(script, cadence="plan", steps=12)
    assert [len(batch) for batch in client.batches] == [2, 2, 1]


def test_an_invalid_answer_is_mended_once_and_only_in_its_lane(play):
    def script(prompt):
        if len(prompt.turns) > 1:
            assert prompt.turns[1].text == "Up, perhaps?"
            assert "'push left', 'push right'" in prompt.turns[2].text
            return lean(prompt)
        return "Up, perhaps?" if "step" in prompt.turns[0].text and first(prompt) else lean(prompt)

    def first(prompt):
        return len(prompt.turns) == 1 and prompt is client_first[0]

    client_first = []

    def remember(prompt):
        client_first.append(prompt)
        return script(prompt)

    played, _, client = play(remember, steps=3)
    assert [len(batch) for batch in client.batches] == [2, 1, 2, 2]
    assert [d.invalid for d in played.decisions] == [True] + [False] * 5
    assert not any(d.fallback for d in played.decisions)
    assert played.decisions[0].said[0] == "Up, perhaps?" and len(played.decisions[0].answers) == 2


def test_an_answer_that_was_cut_off_is_mended(play):
    def script(prompt):
        return lean(prompt) if len(prompt.turns) > 1 else Ok("Perhaps 'push left'", complete=False)

    played, _, client = play(script, steps=1, episodes=1)
    assert "was cut off" in client.asked[1].turns[2].text
    assert played.decisions[0].invalid and not played.decisions[0].fallback


def test_after_two_invalid_answers_the_fallback_is_taken_and_counted(play):
    played, _, client = play(lambda _: "Up!", fallback="push right", steps=4, episodes=1)
    assert [len(batch) for batch in client.batches] == [1] * 8
    assert all(d.fallback and d.action == "push right" for d in played.decisions)
    assert "none of 'push left', 'push right'" in played.decisions[0].problem
    once, _, client = play(lambda _: "Up!", repair=False, steps=4, episodes=1)
    assert len(client.batches) == 4 and once.decisions[0].action == "push left"


@pytest.mark.parametrize(
    "outcome", [Refused("no"), TimedOut(3.0), TransportError("the line is dead")]
)
def test_what_is_no_answer_is_not_mended_but_falls_back(play, outcome):
    played, _, client = play(lambda _: outcome, steps=2, episodes=1)
    assert len(client.batches) == 2 and all(d.fallback for d in played.decisions)
    assert played.decisions[0].unanswered and played.decisions[0].said[0].startswith("(")


def test_a_wrong_key_and_a_spent_budget_stop_the_agent(play):
    with pytest.raises(ModelError, match="wrong key"):
        play(lambda _: TransportError("wrong key", 401, fatal=True))
    with pytest.raises(ModelError, match="budget is spent: 2usd"):
        play(lambda _: OverBudget("2usd of 2usd"))


def test_lanes_that_the_budget_has_no_room_for_at_once_are_asked_after_the_others(play):
    """Before a call the worst is set aside: for two of five lanes, though all can be paid."""

    def script(prompt):
        return Ok(lean(prompt), Usage(100, 10))

    worst = worst_case(play(script, steps=1, episodes=1)[2].asked[0], Sampling(), None).tokens
    budget = Budget(tokens=5 * 110 + 2 * worst)
    played, agent, client = play(script, steps=2, episodes=5, budget=budget)
    assert len(played.decisions) == 10 and not any(d.fallback for d in played.decisions)
    assert agent.asker.budget.spent.tokens == 10 * 110
    assert len(client.batches) > 2


def test_a_model_that_nobody_hears_of_is_given_up_and_one_lane_that_hears_is_not(play):
    dead = TransportError("the line is dead")
    with pytest.raises(ModelError, match=r"3 decisions in a row: \(no answer: the line is dead\)"):
        play(lambda _: dead, steps=9)
    lanes = itertools.cycle([dead, "'push left'"])
    played, _, client = play(lambda _: next(lanes), steps=6)
    assert len(client.batches) == 6 and sum(d.unanswered for d in played.decisions) == 6


def test_a_plan_that_cannot_be_followed_is_answered_with_the_reason(play):
    bad = iter(
        [
            plan(rule="def act(state):\n    return state.height > 0", steps=5),
            plan(rule=RULE, steps=0),
            plan(plan=[{"action": "jump", "steps": 1}]),
            plan(plan=[{"action": "push left", "steps": 40}] * 2),
            "no plan today",
        ]
    )

    def script(prompt):
        return next(bad) if len(prompt.turns) == 1 else plan(rule=RULE, steps=4)

    played, _, client = play(script, cadence="plan", steps=20, episodes=1)
    reasons = [p.turns[2].text for p in client.asked if len(p.turns) == 3]
    expected = ("no quantity", "never ends", '"jump"', "lasts 80 steps", "no complete JSON")
    for reason, part in zip(reasons, expected, strict=True):
        assert part in reason, reason
    assert not any(d.fallback for d in played.decisions)


def test_a_film_of_an_agent_is_drawn_as_any_other(cartpole):
    env, params = cartpole
    agent = vlm_agent(env, Batches(lean), AgentConfig(observe="text"))
    frames = rollout_frames(agent, None, params, max_steps=5, height=40, width=60)
    assert frames.shape == (6, 40, 60, 3)


def test_a_store_answers_what_was_asked_before(cartpole, tmp_path):
    env, params = cartpole

    def run(client):
        asker = Asker(client, store=tmp_path / "store.sqlite")
        agent = vlm_agent(env, asker, AgentConfig(observe="text"))
        played = agent.play(params, evaluation_key(0), num_episodes=2, max_steps=10)
        asker.close()
        return played

    def cut_off(prompt):
        if len(half.asked) > 9:
            raise KeyboardInterrupt
        return lean(prompt)

    half = Batches(cut_off)
    with pytest.raises(KeyboardInterrupt):
        run(half)
    whole, again = Batches(lean), Batches(lambda _: pytest.fail("asked twice"))
    first = run(whole)
    asked_before = {prompt.digest for prompt in half.asked[:8]}
    assert not asked_before & {prompt.digest for prompt in whole.asked}
    second = run(again)
    assert again.batches == [] and [d.action for d in first.decisions] == [
        d.action for d in second.decisions
    ]
