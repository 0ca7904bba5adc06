"""Tables, costs and traces: what came of an agent, beside its baselines."""

import html.parser
import json

import jax
import numpy as np
import pytest
from agents.conftest import lean
from PIL import Image as Pillow

from jaxrl.agents import AgentConfig, vlm_agent
from jaxrl.agents.baselines import Scores, baselines, scores_of
from jaxrl.agents.report import Asked, mean_and_interval, row, table
from jaxrl.agents.trace import record, write_decisions, write_page
from jaxrl.agents.worlds import Ending
from jaxrl.agents.worlds.balance import CARTPOLE
from jaxrl.agents.worlds.boards import SNAKE
from jaxrl.agents.worlds.lander import LANDER
from jaxrl.evaluation import evaluate, evaluation_key
from jaxrl.run.agent_film import write_film
from jaxrl.types import PolicyState
from jaxrl.vlm.asker import Asker
from jaxrl.vlm.messages import Ok, Usage
from jaxrl.vlm.scripted import ScriptedClient

STEPS, EPISODES = 12, 2


@pytest.fixture(scope="module")
def others(cartpole, small_ppo):
    """The baselines of CartPole, with an untrained policy as the trained one."""
    env, params = cartpole
    state = small_ppo.init(jax.random.key(0), params, 1)
    state = PolicyState(state.params, state.obs_stats)
    trained = ("trained ppo", small_ppo, state)
    settings = dict(num_episodes=8, max_steps=60, seed=3)
    return baselines(env, params, CARTPOLE, trained=trained, **settings), state


def test_baselines_are_always_the_same_four(others, cartpole, small_ppo):
    found, state = others
    assert [one.name for one in found] == ["random", "always push left", "heuristic", "trained ppo"]
    random, idle, heuristic, trained = (one.returns.mean() for one in found)
    assert idle < 11 < random < heuristic == 60
    states = jax.tree.map(lambda x: x[None], state)
    mine = evaluate(small_ppo, states, num_episodes=8, max_steps=60, seed=3).returns[0]
    np.testing.assert_array_equal(mine, found[-1].returns)
    endings = [CARTPOLE.outcome(ending) for ending in found[1].endings]
    assert set(endings) == {"pole fell"} and trained > 0


def test_scores_are_normalised_between_random_and_trained(others):
    found, _ = others
    reference = {"random": found[0], "trained": found[2]}
    rows = [row(one, CARTPOLE, reference) for one in found]
    assert rows[0]["normalised"] == 0 and rows[2]["normalised"] == 1
    assert rows[1]["normalised"] < 0
    assert row(found[0], CARTPOLE, {"random": found[0]})["normalised"] is None
    low, high = rows[0]["ci95"]
    assert low < rows[0]["return"] < high
    text = table(rows)
    assert (
        "| heuristic " in text
        and "stood to the end" in text
        and len(set(map(len, text.splitlines()))) == 1
    )


def test_worlds_count_what_matters_there():
    landed, crashed = {"at_rest": True, "crashed": False}, {"at_rest": False, "crashed": True}
    gone = {"at_rest": False, "crashed": False}
    endings = [Ending(q, 0.0, 9, True) for q in (landed, crashed, gone)]
    endings.append(Ending(gone, 0.0, 9, False))
    found = row(Scores("x", np.zeros(4), np.full(4, 9), endings), LANDER, {})
    assert found["outcomes"] == dict.fromkeys(LANDER.outcomes, 0.25)
    eaten = [Ending({"length": 14, "foods_eaten": 10, "crashed": True}, 9.0, 90, True)] * 2
    found = row(Scores("x", np.array([9.0, 9.0]), np.array([90, 90]), eaten), SNAKE, {})
    assert found["food"]["mean"] == 10 and found["length"]["most"] == 14
    assert mean_and_interval(np.array([1.0, 1.0])) == (1.0, 1.0, 1.0)


EVIL = "</pre><script>alert('x')</script> <img src=http://example.org/x.png> 'push left'"


class Tags(html.parser.HTMLParser):
    """The tags of a page, and what they load."""

    def __init__(self):
        super().__init__()
        self.tags, self.sources = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]


def test_the_trace_holds_every_decision_and_runs_nothing_that_a_model_said(
    play, cartpole, tmp_path
):
    env, params = cartpole
    played, agent, _ = play(
        lambda p: EVIL if len(p.turns) > 1 else "hm",
        steps=4,
        film=True,
        observe="both",
        height=40,
        width=60,
    )
    lines = write_decisions(played.decisions, tmp_path / "decisions.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [(r["episode"], r["step"]) for r in records[:3]] == [(0, 0), (1, 0), (0, 1)]
    assert records[0]["said"] == ["hm", EVIL] and records[0]["action"] == "push left"
    assert len(set(records[0]["keys"])) == 2 and records[0]["seconds"] >= 0

    first = [decision for decision in played.decisions if decision.lane == 0]
    page = write_page(first, tmp_path / "episode.html", "a <title>").read_text()
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.tags and tags.tags.count("article") == 4
    assert tags.sources and all(s.startswith("data:image/png;base64,") for s in tags.sources)
    assert page.count("<figcaption>Image 1: the frame.</figcaption>") == 4
    assert "&lt;script&gt;" in page and "a &lt;title&gt;" in page and "invalid, mended" in page

    path = write_film(played, env, params, tmp_path / "episode.gif", width=120)
    with Pillow.open(path) as film:
        assert film.n_frames == 5 and film.size == (120, 80 + 96)

    asked = Asked.of(played.decisions, agent.asker.counts, EPISODES)
    assert asked.invalid == asked.repaired == 1 and asked.fallback == asked.failed == 0
    text = "\n".join(asked.lines())
    assert "8 decisions, 4.0 an episode" in text and "invalid 100.0% (mended 100.0%" in text


def test_an_episode_costs_what_its_tokens_do_though_they_were_paid_for_earlier(cartpole, tmp_path):
    env, params = cartpole

    def played():
        client = ScriptedClient(lambda prompt: Ok(lean(prompt), Usage(1000, 100)))
        asker = Asker(client, store=tmp_path / "store.sqlite", price="2,10")
        agent = vlm_agent(env, asker, AgentConfig(observe="text"))
        found = agent.play(params, evaluation_key(0), num_episodes=2, max_steps=3)
        asker.close()
        return found.decisions, Asked.of(found.decisions, asker.counts, 2)

    for spent in (6 * 0.003, 0.0):
        decisions, asked = played()
        assert asked.dollars == pytest.approx(spent)
        assert asked.dollars_per_episode == pytest.approx(3 * 0.003)
        assert record(decisions[0])["dollars"] == pytest.approx(0.003)
        assert "3000 in, 300 out, worth $0.0090" in asked.lines()[-1]
    page = write_page(decisions[:1], tmp_path / "episode.html", "").read_text()
    assert "1000 + 100 tokens, $0.0030, from the store" in page


def test_the_agents_scores_are_like_anyones(play):
    played, _, _ = play(lean, steps=STEPS)
    scores = scores_of("lean", played)
    assert scores.returns.tolist() == [STEPS] * EPISODES
    found = row(scores, CARTPOLE, {})
    assert found["outcomes"]["stood to the end"] == 1 and found["player"] == "lean"
