"""`jaxrl train --reward vlm` end to end: a real client, a server that misbehaves, a run folder."""

import contextlib
import json

import numpy as np
import pytest
from rewards.toy import Shades
from vlm.fake_server import FakeServer, busy, empty, error, garbage, refusal, reset, torn

from jaxrl.commands import train as command
from jaxrl.commands.options import parse
from jaxrl.commands.vlm_options import VLMOptions, earlier_options, vlm_source
from jaxrl.environment import register
from jaxrl.errors import ConfigError, JaxrlError, ModelError, UnknownNameError
from jaxrl.run.folder import read_run

KEY = "sk-this-must-never-be-written"
DQN = (
    "--num-envs 3 --num-steps 4 --hidden-sizes 8 --buffer-size 200 --batch-size 16 "
    "--replay-ratio 0.25 --learning-starts 12 --total-steps 192 --eval-episodes 2 --no-gif "
    "--log-every 24 --frame-size 16 24 --answer-timeout 5"
)
PROMPT = """+++
parser = "score_0_to_10"
needs = []
+++
How bright is the picture? Answer with a score from 0 to 10.
"""


@pytest.fixture
def game(tmp_path, monkeypatch):
    """The game of shades by name, a prompt about it, and a key."""
    register("Shades-v0", Shades)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    prompt = tmp_path / "bright.jinja"
    prompt.write_text(PROMPT)
    return prompt


def train(prompt, out, client, *flags):
    asking = ["--reward", "vlm", "--client", client, "--prompt", str(prompt)]
    command.main(["dqn", "Shades-v0", *DQN.split(), *asking, "--out", str(out), *flags])
    return read_run(out)


def faults(request):
    """Every third request meets another fault; the others get a score that the picture decides."""
    kinds = [busy(retry_after=0.01), error(500), reset(), torn(), garbage(), empty(), refusal("no")]
    if request.index % 3 == 0:
        return kinds[request.index // 3 % len(kinds)]
    return json.dumps({"score": request.images[0][-20] % 11})


@pytest.mark.slow
def test_a_server_that_misbehaves_loses_no_label_and_invents_none(game, tmp_path, capsys):
    with FakeServer(faults) as server:
        client = f"openai:seer@{server.url}"
        run = train(game, tmp_path / "run", client, "--budget", "500calls", "--max-tokens", "8")
        first = len(server.requests)
        again = train(
            game, tmp_path / "again", client, "--store", str(tmp_path / "run/vlm/store.sqlite")
        )
    told = run.result["vlm"]
    assert 0 < told["failed"] < told["asked"]
    values = np.array([p.metrics["reward/vlm"] for p in run.history])
    values = values[np.isfinite(values)]
    assert values.size and (values >= 0).all() and (values <= 1).all()
    assert again.result["vlm"]["cached"] > 0 and first > 0
    out = capsys.readouterr().out
    assert "calls" in out
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert KEY.encode() not in file.read_bytes(), file
    assert KEY not in out
    options = earlier_options(tmp_path / "run")
    assert options.budget == "500calls" and options.frame_size == (16, 24)
    assert (tmp_path / "run" / "vlm" / "captions.html").exists()
    assert json.loads((tmp_path / "run" / "config.json").read_text())["reward"].startswith(
        "mixture("
    )


@pytest.mark.slow
def test_a_wrong_key_ends_the_run_and_names_its_variable(game, tmp_path):
    with (
        FakeServer("Score: 3", key="another") as server,
        pytest.raises(ModelError, match="OPENAI_API_KEY"),
    ):
        train(game, tmp_path / "run", f"openai:seer@{server.url}")


@pytest.mark.parametrize(
    ("flags", "error", "words"),
    [
        (["--alpha", "0.3"], ConfigError, "add --reward vlm"),
        (["--reward", "vlm", "--prompt", "lander_positon"], UnknownNameError, "lander_position"),
        (
            ["--reward", "vlm", "--client", "opnai:gpt-4o", "--prompt", "lander_score"],
            JaxrlError,
            "openai",
        ),
        (["--reward", "vlm"], ConfigError, "no shipped prompt is about"),
        (["--reward", "vlm", "--alpha", "2"], JaxrlError, "alpha"),
    ],
)
def test_bad_flags_are_refused(game, tmp_path, flags, error, words):
    if "--alpha" in flags and "--reward" in flags:
        flags = [*flags, "--prompt", str(game), "--client", "openai:x"]
    with pytest.raises(error, match=words):
        command.main(["dqn", "Shades-v0", *DQN.split(), "--out", str(tmp_path / "r"), *flags])
    assert not (tmp_path / "r" / "config.json").exists()


@pytest.mark.parametrize(
    ("algorithm", "flags", "words"),
    [
        ("dqn", ["--alpha", "1.5"], "alpha=1.5 is out of range"),
        ("dqn", ["--alpha", "nan"], "alpha=nan is out of range"),
        ("dqn", ["--control", "constant"], "constant:C"),
        ("ppo", ["--reward-mode", "lagged"], "ppo has no replay"),
        ("dqn", ["--concurrency", "0"], "concurrency=0"),
        ("dqn", ["--answer-timeout", "0"], "answer_timeout=0"),
        ("dqn", ["--parser", "kelvin.toml"], "kelvin.toml: there is no such file"),
    ],
)
def test_what_is_refused_asks_nobody_and_leaves_nothing(
    tmp_path, monkeypatch, algorithm, flags, words
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    sizes = ["--total-steps", "64", "--num-envs", "2"]
    sizes += ["--replay-ratio", "0.5"] if algorithm == "dqn" else ["--num-steps", "8"]
    out = tmp_path / "run"
    with FakeServer("7 degrees left") as server, pytest.raises(JaxrlError, match=words):
        client = f"openai:seer@{server.url}"
        asking = ["--reward", "vlm", "--client", client, "--prompt", "cartpole_tilt", *flags]
        command.main([algorithm, "CartPole-v1", *sizes, *asking, "--out", str(out)])
    assert server.requests == [] and not out.exists()


@pytest.mark.parametrize(("kind", "sent"), [("key", 1), ("constant", 21)])
def test_a_model_that_cannot_be_trained_from_ends_the_run_before_it_begins(
    tmp_path, monkeypatch, kind, sent
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server = FakeServer("approximately 45 degrees", key="another" if kind == "key" else None)
    words = "OPENAI_API_KEY" if kind == "key" else "approximately 45 degrees"
    with server, pytest.raises(JaxrlError, match=words):
        asking = ["--reward", "vlm", "--client", f"openai:seer@{server.url}"]
        asking += ["--frame-size", "60", "90", "--total-steps", "64", "--num-envs", "2"]
        asking += [
            "--replay-ratio",
            "0.5",
            "--learning-starts",
            "8",
            "--out",
            str(tmp_path / "run"),
        ]
        command.main(["dqn", "CartPole-v1", *asking])
    assert len(server.requests) == sent
    assert not (tmp_path / "run" / "config.json").exists()
    assert (tmp_path / "run" / "vlm" / "probe.json").exists() == (kind == "constant")


def test_a_run_that_is_there_is_not_touched(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (tmp_path / "vlm").mkdir()
    kept = {tmp_path / "config.json": "{}", tmp_path / "vlm" / "options.json": "{}"}
    for path, text in kept.items():
        path.write_text(text)
    with FakeServer("?") as server, pytest.raises(JaxrlError, match="holds a run already"):
        asking = ["--reward", "vlm", "--client", f"openai:seer@{server.url}"]
        sizes = "--total-steps 64 --num-envs 2 --replay-ratio 0.5 --learning-starts 8".split()
        command.main(["dqn", "CartPole-v1", *sizes, *asking, "--out", str(tmp_path)])
    assert server.requests == []
    assert {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == kept


def test_a_run_whose_store_is_elsewhere_keeps_its_options(game, tmp_path):
    flags = [
        "--reward",
        "vlm",
        "--prompt",
        str(game),
        "--store",
        str(tmp_path / "far" / "s.sqlite"),
    ]
    options = parse("jaxrl train", flags, VLMOptions())[0]
    env = Shades()
    with contextlib.ExitStack() as stack:
        made = vlm_source(options, env, env.default_params, tmp_path / "run", print, stack)
        assert made is not None
        made.listener.on_start(None)
    assert earlier_options(tmp_path / "run") == options
    assert not (tmp_path / "far" / "s.sqlite").exists()  # nobody was asked
