"""`jaxrl agent`: offline, from the command line to the folder."""

import json

import pytest

import jaxrl
from jaxrl.agents.worlds import world_of
from jaxrl.cli import main
from jaxrl.commands.agent_options import AgentOptions, variants_of

SMALL = ["--episodes", "2", "--max-steps", "6", "--height", "40", "--width", "60"]


@pytest.fixture
def agent(tmp_path, monkeypatch, capsys):
    """`agent(*flags) -> (status, what was printed)`, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*flags):
        status = main(["agent", *flags])
        out, err = capsys.readouterr()
        return status, out + err

    return run


def test_the_captioner_plays_offline_and_leaves_a_folder(agent, tmp_path):
    flags = ["CartPole-v1", *SMALL, "--trained", "none", "--observe", "image", "--out", "run"]
    status, text = agent(*flags)
    assert status == 0, text
    assert "| captioner " in text and "| heuristic " in text and "no trained policy" in text
    assert "$0.0000 spent" in text, "the captioner costs nothing"
    names = ("config.json", "result.json", "decisions.jsonl", "episode.html", "episode.gif")
    assert all((tmp_path / "run" / name).is_file() for name in (*names, "vlm/store.sqlite"))
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert [r["player"] for r in result["rows"]][:2] == ["captioner", "random"]
    assert result["asked"]["captioner"]["invalid"] == 0
    page = (tmp_path / "run" / "episode.html").read_text()
    assert "I see: The pole leans" in page

    status, text = agent(*flags)
    assert status == 0 and "0 calls, 12 answers from the store" in text
    status, text = agent(*flags, "--seed", "7")
    assert status == 2 and "holds a run with another seed" in text


def test_an_ablation_has_a_row_for_every_aid(agent, tmp_path):
    aids = ["--aids", "facts,history", "--ablate", "--no-gif", "--out", "run"]
    status, text = agent(
        "CartPole-v1",
        *SMALL,
        "--client",
        "scripted",
        "--observe",
        "text",
        "--trained",
        "none",
        *aids,
    )
    assert status == 0, text
    for player in ("no aids", "+ facts", "+ history", "all aids", "random"):
        assert f"| {player} " in text
    assert (tmp_path / "run" / "all-aids" / "episode.html").is_file()


def test_playing_tells_how_it_goes(agent, monkeypatch):
    monkeypatch.setattr("jaxrl.commands.agent.EVERY", 0.0)
    flags = ["--client", "scripted", "--observe", "text", "--trained", "none", "--no-gif"]
    status, text = agent("CartPole-v1", *SMALL, *flags)
    assert status == 0
    assert "scripted: 2 of 2 episodes under way; 4 asked, 4 calls, 0 cached" in text


def test_an_ablation_of_the_captioner_leaves_out_what_it_cannot_see_through():
    env, params = jaxrl.make("CartPole-v1")
    world = world_of(env, params)

    def names(**options):
        return list(variants_of(AgentOptions("CartPole-v1", **options), env, world))

    aids = [f"+ {aid}" for aid in ("upscale", "strip", "facts", "history", "lookahead")]
    assert names(ablate=True) == ["no aids", *aids, "all aids"]
    assert "+ grid" in names(ablate=True, client="openai:m")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["CartPole-v1", "--client", "opnai:x"], "did you mean 'openai'"),
        (["CartPole-v1", "--aids", "stripes"], "did you mean 'strip'"),
        (["CartPole-v1", "--observe", "text"], "the captioner looks at frames"),
        (["CartPole-v1", "--aids", "grid"], "the captioner reads plain frames: leave out grid"),
        (["CartPole-v1", "--leave-out", "state"], "unknown part to leave out 'state'"),
        (["Pendulum-v1", "--answer", "quoted"], "cannot be answered by a name in quotes"),
        (["Acrobot-v1"], "the captioner has no rules for Acrobot"),
        (["CartPole-v1", "--client", "scripted", "--trained", "nowhere"], "nowhere"),
        # Said before the preset is trained, which takes a while.
        (["CartPole-v1", "--client", "scripted", "--examples", "."], "has no example in it"),
        (["CartPole-v1", "--client", "scripted", "--episodes", "0"], "--episodes=0 is out of"),
        (["CartPole-v1", "--client", "scripted", "--budget", "2"], "2usd"),
        (["CartPole-v1", "--client", "openai:x@http://h/v1", "--budget", "2usd"], "give price="),
    ],
)
def test_a_mistake_is_told_before_anything_is_made(agent, tmp_path, flags, said):
    status, text = agent(*flags)
    assert status == 2 and said in text
    assert list(tmp_path.iterdir()) == []
