"""`jaxrl train --reward vlm` end to end: real SDK, a server that misbehaves, a run folder."""

import json

import numpy as np
import pytest
from rewards.toy import Shades
from vlm.fake_server import FakeServer, busy, empty, error, garbage, refusal, reset, torn

from jaxrl.commands import train as command
from jaxrl.commands.vlm_options import earlier_options
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
