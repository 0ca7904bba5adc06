"""The probe: numbers by hand, who passes, who is found out, and the command."""

import json
import math
import re

import numpy as np
import pytest

from jaxrl import cli
from jaxrl.environment import make
from jaxrl.errors import ConfigError, UnknownNameError
from jaxrl.rewards.agreement import agreement, epic_distance, monotony, pearson, ranks, spearman
from jaxrl.rewards.known_states import known_states
from jaxrl.rewards.probe import probe
from jaxrl.rewards.probe_picture import draw_probe, lines
from jaxrl.rewards.probe_report import Thresholds, require_probe
from jaxrl.vlm import prompts
from jaxrl.vlm.asker import Asker
from jaxrl.vlm.captioner import CaptionerClient
from jaxrl.vlm.messages import Refused
from jaxrl.vlm.scripted import ScriptedClient

SIZE = (60, 90)
CONSTANT = "The pole is leaning to the right. It is leaning at approximately 45 degrees."


@pytest.fixture(scope="module")
def played():
    """States of CartPole as probes of the tilt ask about them, made once."""
    return {}


@pytest.fixture(autouse=True)
def made_once(played, monkeypatch):
    """The same states are not drawn again for every client."""

    def remembered(env, params, truth, **settings):
        key = (truth, *sorted(settings.items()))
        if key not in played:
            played[key] = known_states(env, params, truth, **settings)
        return played[key]

    monkeypatch.setattr("jaxrl.rewards.probe.known_states", remembered)


def probed(cartpole, client, prompt="paper_cartpole_tilt", **settings):
    asker = Asker(client)
    try:
        return probe(*cartpole, asker, prompts.load(prompt), size=SIZE, **settings)
    finally:
        asker.close()


def scripted(answer):
    return ScriptedClient(lambda prompt: answer)


# --- numbers


def test_ranks_share_ties():
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_correlations_by_hand():
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 8.0, 27.0, 64.0])
    assert spearman(x, y) == 1.0 and spearman(x, -y) == -1.0
    assert pearson(x, y) == pytest.approx(0.9513699)
    assert pearson(x, np.ones(4)) is None
    # Two of six pairs are in the wrong order: 1 - 6 Σd² / (n (n² - 1)) with d = 1, 1, 1, 1.
    assert spearman(x, np.array([2.0, 1.0, 4.0, 3.0])) == pytest.approx(1 - 6 * 4 / 60)


def test_epic_is_zero_for_the_same_reward_and_one_for_its_opposite():
    assert epic_distance(1.0) == 0 and epic_distance(-1.0) == 1
    assert epic_distance(0.0) == pytest.approx(math.sqrt(0.5))


def test_agreement_says_what_it_cannot_compute_and_why():
    nothing = np.array([])
    none = agreement(nothing, nothing, same_unit=True, signed=True)
    assert none.spearman is none.epic is none.sign_accuracy is none.mean_absolute_error is None
    assert "fewer than 3" in none.missing["spearman"]
    flat = agreement(np.full(4, 30.0), np.arange(4.0), same_unit=False, signed=False)
    assert flat.missing["pearson"] == "the readings do not vary"
    assert set(flat.missing) == {
        "spearman", "pearson", "epic", "sign_accuracy", "mean_absolute_error",
    }  # fmt: skip
    # The truth of 0 has no sign, and one of the other four is read wrong.
    some = agreement(
        np.array([-3.0, 1.0, 2.0, 1.0, 4.0]),
        np.array([-3.0, -1.0, 0.0, 1.0, 3.0]),
        same_unit=True,
        signed=True,
    )
    assert some.sign_accuracy == 0.75 and some.mean_absolute_error == 1.0 and not some.missing


def test_monotony_counts_answers():
    found = monotony(["a", "a", "b", "c"])
    assert (found.commonest, found.share, found.entropy) == ("a", 0.5, 1.5)
    assert monotony(["a"] * 3).entropy == 0


# --- who passes and who does not


@pytest.mark.parametrize("prompt", ["paper_cartpole_tilt", "cartpole_tilt"])
def test_the_captioner_passes_on_cartpole(cartpole, prompt):
    report, states = probed(cartpole, CaptionerClient(), prompt)
    assert report.passed and require_probe(report) is report
    assert len(report.rows) == 21 and states.truth == pytest.approx(np.linspace(-12, 12, 21))
    assert report.agreement.spearman > 0.99 and report.agreement.sign_accuracy > 0.9
    assert report.agreement.mean_absolute_error < 0.7 and report.unparsed == 0
    assert report.agreement.epic < 0.05


@pytest.mark.parametrize("degrees", [45, 30, 7])
def test_a_model_that_always_says_the_same_is_found_out(cartpole, degrees):
    report, _ = probed(cartpole, scripted(CONSTANT.replace("45", str(degrees))))
    assert not report.passed
    said = " ".join(report.failures)
    assert "100% of the answers are the same" in said and "no correlation" in said
    if degrees > 16:  # a tilt that CartPole does not have
        assert f"{degrees} is outside -16 to 16" in said and report.unparsed == 1
    else:
        assert report.unparsed == 0 and "do not vary" in said
    with pytest.raises(ConfigError, match=r"failed the probe on CartPole-v1.*--force"):
        require_probe(report)
    with pytest.warns(UserWarning, match="Forced"):
        assert require_probe(report, force=True) is report


def test_a_model_that_answers_two_numbers_by_chance_is_found_out(cartpole):
    rng = np.random.default_rng(0)

    def guess(prompt):
        return f"{rng.choice([3, 5])} degrees to the {rng.choice(['left', 'right'])}"

    report, _ = probed(cartpole, ScriptedClient(guess))
    assert report.agreement.spearman < 0.5 and report.agreement.sign_accuracy < 0.8
    assert len(report.failures) == 2 and report.agreement.epic > 0.4


def test_a_mirrored_model_is_found_out(cartpole):
    captioner = CaptionerClient()

    def mirror(prompt):
        text = captioner.ask([prompt], timeout=1)[0].text
        return re.sub("left|right", lambda m: {"left": "right", "right": "left"}[m[0]], text)

    report, _ = probed(cartpole, ScriptedClient(mirror))
    assert report.agreement.spearman < -0.99 and report.agreement.sign_accuracy < 0.1
    assert report.agreement.epic > 0.95 and not report.passed


def test_refusals_are_no_answers(cartpole):
    report, _ = probed(cartpole, scripted(Refused("no pictures of poles")))
    assert report.unparsed == 1 and not report.rows[0].answered
    assert "Refused: no pictures of poles" in report.failures[0]


def test_thresholds_can_be_set(cartpole):
    strict, _ = probed(cartpole, CaptionerClient(), thresholds=Thresholds(commonest=0.01))
    assert len(strict.failures) == 1 and "at most 1% may" in strict.failures[0]


def test_scores_are_compared_by_rank(cartpole):
    report, _ = probed(
        cartpole,
        CaptionerClient(),
        "goal_score",
        truth="pole_angle_degrees",
        given={"goal": "the pole stands upright"},
    )
    # Score falls to both sides: no rank correlation with a signed tilt, and it says so.
    assert abs(report.agreement.spearman) < 0.5 and not report.passed
    assert report.agreement.missing["mean_absolute_error"].endswith("not in one unit")
    assert report.agreement.missing["sign_accuracy"] == "readings have no sign"


def test_states_of_random_play_are_spread_over_their_truth(cartpole):
    states = known_states(*cartpole, "cart_position", count=12, size=SIZE)
    assert states.frames.shape == (12, *SIZE, 3) and states.unit == "m"
    assert len(np.unique(states.truth)) == 12
    assert (np.abs(states.quantities["pole_angle_degrees"]) > 12).sum() >= 5  # ends of episodes


def test_what_cannot_be_probed_is_said(cartpole):
    class Blind:
        """An environment without a picture."""

        name = "blind"

    template = prompts.load("goal_yes_no")
    asker = Asker(CaptionerClient())
    with pytest.raises(ConfigError, match="--truth pole_angle_degrees"):
        probe(*cartpole, asker, template, given={"goal": "x"})
    with pytest.raises(ConfigError, match="takes 2 pictures"):
        probe(*cartpole, asker, prompts.load("compare_goal"), truth="pole_angle")
    with pytest.raises(UnknownNameError, match="did you mean 'pole_angle'"):
        known_states(*cartpole, "pole_angel")
    with pytest.raises(UnknownNameError, match=r"distance_to_pad.*lander_position"):
        probe(*cartpole, asker, prompts.load("lander_position"))
    with pytest.raises(ConfigError, match="no render"):
        known_states(Blind(), None, "x")
    with pytest.raises(ConfigError, match="num_states=2"):
        known_states(*cartpole, "pole_angle", count=2)
    asker.close()


@pytest.mark.slow
@pytest.mark.parametrize("prompt", ["lander_position", "paper_lander_landing"])
def test_the_captioner_passes_on_lunar_lander(prompt):
    env = make("LunarLander-v3", solver="fast")
    asker = Asker(CaptionerClient())
    template = prompts.load(prompt)
    report, _ = probe(*env, asker, template, truth="over_pad", size=(200, 300), num_states=42)
    assert report.passed and report.agreement.spearman > 0.6
    asker.close()


# --- picture, file and command


def test_the_picture_shows_frames_and_answers(cartpole, tmp_path):
    report, states = probed(cartpole, scripted(CONSTANT))
    path = tmp_path / "deep" / "probe.png"
    figure = draw_probe(report, states, path)
    assert path.stat().st_size > 10_000
    texts = [text.get_text() for text in figure.findobj(lambda x: hasattr(x, "get_text"))]
    assert sum("approximately 45" in text for text in texts) >= 21
    assert any("true -12 deg" in text for text in texts)
    assert "commonest answer     100%   (at most 80%)" in lines(report)


def test_the_command_probes_and_refuses(tmp_path, capsys, monkeypatch):
    argv = ["probe-vlm", "CartPole-v1", "--prompt", "paper_cartpole_tilt", "--out", str(tmp_path)]
    argv += ["--height", "60", "--width", "90"]
    assert cli.main(argv) == 0
    out = capsys.readouterr().out
    assert "spearman             1.000" in out and "21 calls" in out and "passed" in out
    saved = json.loads((tmp_path / "probe.json").read_text())
    assert saved["passed"] and len(saved["rows"]) == 21 and saved["client"] == "captioner"
    assert saved["prompt_digest"] == prompts.load("paper_cartpole_tilt").digest
    assert cli.main(argv) == 0  # once more, from the store
    assert "0 calls, 21 answers from the store" in capsys.readouterr().out

    monkeypatch.setattr("jaxrl.vlm.specs.client", lambda spec: scripted(CONSTANT))
    argv[-5] = str(tmp_path / "constant")
    assert cli.main(argv) == 2
    captured = capsys.readouterr()
    assert "failed the probe" in captured.err and (tmp_path / "constant" / "probe.png").exists()
    with pytest.warns(UserWarning, match="Forced"):
        assert cli.main([*argv, "--force"]) == 0


def test_mistakes_of_the_command(tmp_path, capsys):
    def said(*flags):
        assert cli.main(["probe-vlm", "CartPole-v1", "--out", str(tmp_path / "x"), *flags]) == 2
        return capsys.readouterr().err

    assert "did you mean 'cartpole_tilt'" in said("--prompt", "cartpole_tlt")
    assert "unknown client 'captionner'" in said("--client", "captionner")
    assert "type NAME=VALUE" in said("--given", "goal")
    assert "give both" in said("--height", "60")
    assert "num_states=2" in said("--states", "2")
    assert "'distance_to_pad'" in said("--prompt", "lander_position")
    assert "does not say which quantity" in said("--prompt", "goal_score", "--given", "goal=up")
    assert not (tmp_path / "x").exists()
