"""The command line: what it does, and what it says to mistakes."""

import json
import shutil
import subprocess
import sys
import time

import pytest

from jaxrl import cli
from jaxrl.algorithms import ALGORITHMS
from jaxrl.algorithms.ppo import PPOConfig
from jaxrl.commands.options import parse_steps, parse_value, starting_point
from jaxrl.commands.sweep import parse_grid
from jaxrl.errors import ConfigError, UnknownNameError
from jaxrl.run.folder import read_run
from jaxrl.run.opening import open_run
from jaxrl_envs.lunar_lander import LunarLander

ACROBOT = "Acrobot-v1"
SMALL = (
    "--num-envs 4 --num-steps 16 --num-minibatches 2 --update-epochs 2 --hidden-sizes 16 "
    "--total-steps 2k --eval-episodes 4 --eval-every 1k --log-every 500"
).split()


def run(capsys, *argv):
    """Exit status, standard output and standard error of a command line."""
    status = cli.main(list(argv))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small run, trained through the command line."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    status = cli.main(["train", "ppo", "CartPole-v1", *SMALL, "--seeds", "2", "--out", str(folder)])
    assert status == 0
    return folder


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from jaxrl import cli; cli.main(['--help']); "
        "print(sorted({'jax', 'numpy', 'tyro', 'rich', 'flax'} & set(sys.modules)))"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert time.perf_counter() - began < 5  # a bound that only an import of jax would break
    for command in cli.COMMANDS:
        assert command in done.stdout


def test_training_leaves_the_whole_folder(finished):
    names = {path.name for path in finished.iterdir()}
    assert names >= {
        "config.json",
        "machine.json",
        "metrics.jsonl",
        "result.json",
        "checkpoints",
        "policy",
        "curve.png",
        "rollout.gif",
    }
    result = json.loads((finished / "result.json").read_text())
    assert set(result) >= {
        "env",
        "algorithm",
        "seeds",
        "total_steps",
        "eval_return",
        "steps_to_threshold",
        "compile_seconds",
        "train_seconds",
        "wall_seconds",
        "steps_per_second",
        "peak_memory_bytes",
        "versions",
        "config_hash",
    }
    assert len(result["eval_return"]["per_seed"]) == 2
    assert result["eval_return"]["episodes"] == 4 and result["eval_return"]["greedy"]
    config = read_run(finished).config
    assert config["config"]["num_envs"] == 4  # typed
    assert config["config"]["gamma"] == 0.98  # the preset's
    assert config["settings"]["threshold"] == 475.0


def test_eval_plays_every_seed(finished, capsys):
    status, out, _ = run(capsys, "eval", str(finished), "--episodes", "3")
    assert status == 0 and "seed 0: return" in out and "seed 1: return" in out
    assert "IQM over 2 seeds" in out and "interval" not in out  # of two seeds there is none


def test_eval_plays_in_unmodified_gymnasium(finished, capsys):
    flags = ["--env", "gymnasium:CartPole-v1", "--episodes", "2"]
    status, out, _ = run(capsys, "eval", str(finished), *flags)
    assert status == 0 and "ppo on gymnasium:CartPole-v1, 2 greedy episodes a seed" in out
    status, _, err = run(capsys, "eval", str(finished), "--env", "snake-v0")
    assert status == 2 and "trained on CartPole-v1, whose observations are Box(4,)" in err


def test_eval_plays_with_other_parameters(finished, capsys):
    """On top of those it was trained with, or given to another environment."""
    short = ["--episodes", "2", "--env-params", "max_steps_in_episode=3"]
    for there in ([], ["--env", "gymnasium:CartPole-v1"]):
        status, out, err = run(capsys, "eval", str(finished), *there, *short)
        assert status == 0 and "CartPole-v1 max_steps_in_episode=3, 2 greedy" in out, err
        assert out.count("3.0 steps") == 2
    status, _, err = run(capsys, "eval", str(finished), "--env-params", "wind=1")
    assert status == 2 and "unknown setting of CartPole-v1 'wind'" in err


def test_eval_judges_in_the_form_that_an_environment_asks_for(finished, capsys, monkeypatch):
    """As a lander that was trained with the fast solver is judged with the exact one."""
    kind = type(open_run(finished).algorithm.env)
    monkeypatch.setattr(kind, "evaluated_with", {"max_steps_in_episode": 4}, raising=False)
    status, out, err = run(capsys, "eval", str(finished), "--episodes", "2")
    assert status == 0 and "CartPole-v1 max_steps_in_episode=4, 2 greedy" in out, err
    assert out.count("4.0 steps") == 2
    flags = ["--episodes", "2", "--env-params", "max_steps_in_episode=3"]
    assert (
        "CartPole-v1 max_steps_in_episode=3, 2 greedy"
        in run(capsys, "eval", str(finished), *flags)[1]
    )
    assert LunarLander.evaluated_with == {"solver": "exact"}


def test_plot_and_render_write_files(finished, capsys, tmp_path):
    picture, film = tmp_path / "c.png", tmp_path / "x.gif"
    assert run(capsys, "plot", str(finished), str(finished), "-o", str(picture))[0] == 0
    small = ["--height", "40", "--width", "60", "--max-frames", "10"]
    status, out, _ = run(capsys, "render", str(finished), "-o", str(film), *small)
    assert status == 0 and "frames" in out
    assert picture.stat().st_size > 5000 and film.stat().st_size > 500


@pytest.mark.slow
def test_the_folders_config_can_be_given_back(finished, capsys, tmp_path):
    out = tmp_path / "again"
    flags = ["--config", str(finished / "config.json"), *SMALL[10:], "--out", str(out), "--no-gif"]
    status, text, err = run(capsys, "train", "ppo", "CartPole-v1", *flags)
    assert status == 0, err
    assert read_run(out).config["config"] == read_run(finished).config["config"]
    assert "one seed, no interval" in text


def test_resume_takes_the_folders_settings(finished, capsys):
    flags = ["--resume", str(finished)]
    status, _, err = run(capsys, "train", "ppo", "CartPole-v1", *flags)
    assert status == 2 and "has run to its end" in err
    status, _, err = run(capsys, "train", "ppo", "CartPole-v1", *flags, "--gamma", "0.5")
    assert status == 2 and "gamma: 0.98 there, 0.5 now" in err


def test_resume_refuses_what_differs_before_compiling(finished, capsys, tmp_path):
    """Also where the folder would let it go on; nothing typed is quietly dropped."""
    folder = tmp_path / "cut"
    shutil.copytree(finished, folder)
    (folder / "result.json").unlink()
    for typed, words in [
        ("--seeds 3", "seeds: [0, 1] there, [0, 1, 2] now"),
        ("--seed-list 0 5", "seeds: [0, 1] there, [0, 5] now"),
        ("--threshold 3", "threshold: 475.0 there, 3.0 now"),
        ("--eval-episodes 5", "eval_episodes: 4 there, 5 now"),
        ("--total-steps 4k", "total_steps: 2048 there, 4032 now"),
        ("--env-params gravity=5", "gravity: 9.8"),
        ("--out elsewhere", "name two folders"),
    ]:
        status, _, err = run(
            capsys, "train", "ppo", "CartPole-v1", "--resume", str(folder), *typed.split()
        )
        assert status == 2 and words in err, (typed, err)
    status, _, err = run(capsys, "train", "ppo", "Acrobot-v1", "--resume", str(folder))
    assert status == 2 and f"type `jaxrl train ppo CartPole-v1 --resume {folder}`" in err
    flags = ["--resume", str(folder), "--no-gif"]
    status, _, err = run(capsys, "train", "ppo", "CartPole-v1", *flags)
    assert status == 0 and (folder / "result.json").exists(), err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "flags"),
    [
        ("Catch-bsuite", ["--env-params", "rows=5", "columns=5"]),
        (ACROBOT, []),
    ],
    ids=["arguments of the factory", "parameters that are arrays"],
)
def test_a_run_remembers_how_its_environment_was_made(env, flags, capsys, tmp_path):
    folder = tmp_path / "run"
    status, _, err = run(
        capsys, "train", "ppo", env, *SMALL, "--out", str(folder), "--no-gif", *flags
    )
    assert status == 0, err
    assert run(capsys, "eval", str(folder), "--episodes", "2", "--max-steps", "9")[0] == 0
    (folder / "result.json").unlink()
    status, _, err = run(capsys, "train", "ppo", env, "--resume", str(folder), "--no-gif")
    assert status == 0, err


def test_refused_settings_leave_no_folder(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capsys, "train", "ppo", "CartPole-v1", "--seeds", "0")
    assert status == 2 and "no seeds" in err
    assert not list(tmp_path.glob("runs/*/*/*"))


@pytest.mark.slow
def test_sweep_prints_a_table(capsys, tmp_path):
    flags = ["--grid", "learning_rate=1e-4,1e-2", "--seeds", "2", "--out", str(tmp_path / "s")]
    status, out, err = run(capsys, "sweep", "ppo", "CartPole-v1", *SMALL, *flags)
    assert status == 0, err
    assert "0.0001" in out and "0.01" in out and "interval" in out


def test_a_variant_is_named_after_its_algorithm():
    name, known, config = starting_point("grpo:notes", "CartPole-v1")
    assert name == "grpo" and config.loss_type == "sum" and known.config is config
    name, known, config = starting_point("a2c:impala", "Acrobot-v1")
    assert name == "a2c" and config.vtrace and known is None
    with pytest.raises(UnknownNameError, match="variant of ppo 'note': did you mean 'notes'"):
        starting_point("ppo:note", "CartPole-v1")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_variant_that_is_listed_is_a_config(name):
    entry = ALGORITHMS[name]
    for variant in entry.variants:
        assert isinstance(entry.variant(name, variant), entry.config)
    made = {m for m in vars(entry.config) if isinstance(vars(entry.config)[m], classmethod)}
    assert made == set(entry.variants)
    with pytest.raises(UnknownNameError, match=f"{name}" if entry.variants else "has no variants"):
        entry.variant(name, "nots")


def test_listings(capsys):
    out = run(capsys, "algos")[1]
    assert "ppo" in out and "grpo:notes" in out
    assert "jax" in run(capsys, "doctor")[1]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("trian", "did you mean 'jaxrl train'"),
        ("train dpo CartPole-v1", "did you mean 'ppo'"),
        ("train ppo Cartpole", "did you mean 'CartPole-v1'"),
        ("train ppo", "needs an algorithm and an environment"),
        ("train ppo MountainCar-v0", "--total-steps"),
        ("train ppo CartPole-v1 --num-minibatches 7", "nearest that do are 4 and 8"),
        ("train ppo CartPole-v1 --gamma 1.5", "gamma=1.5 is out of range"),
        ("train ppo CartPole-v1 --config nothing.json", "no such file"),
        ("train ppo CartPole-v1 --env-params gravity", "NAME=VALUE"),
        ("train ppo CartPole-v1 --env-params gravitty=1", "did you mean 'gravity'"),
        ("train ppo CartPole-v1 --resume .", "not a run folder"),
        ("sweep ppo CartPole-v1 --grid gamma", "NAME=VALUE,VALUE"),
        ("sweep ppo CartPole-v1 --grid gama=1", "did you mean 'gamma'"),
        ("sweep ppo CartPole-v1 --grid learning_rate=a,b", "learning_rate='a' is of the wrong"),
        ("sweep ppo CartPole-v1 --grid num_minibatches=1,3", "num_minibatches=3 does not divide"),
        ("train ppo CartPole-v1 --total-steps 0", "total_steps=0"),
        ("train ppo CartPole-v1 --seeds 2 --seed-list 1", "--seeds and --seed-list"),
        ("eval .", "not a run folder"),
        ("plot .", "not a run folder"),
        ("render .", "not a run folder"),
    ],
)
def test_mistakes_get_one_clear_line(capsys, argv, words):
    status, _, err = run(capsys, *argv.split())
    assert status == 2
    assert err.startswith("error: ") and words in err and "Traceback" not in err


def test_flags_of_the_wrong_kind_are_named(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["train", "ppo", "CartPole-v1", "--total-steps", "ten"])
    assert stopped.value.code == 2
    assert "--total-steps" in capsys.readouterr().err


def test_steps_are_read_as_people_write_them():
    assert [parse_steps(t) for t in ("4096", "500k", "1.5M", "2e5", "1_000")] == [
        4096,
        500_000,
        1_500_000,
        200_000,
        1000,
    ]
    with pytest.raises(ConfigError):
        parse_steps("1.2.3k")
    with pytest.raises(ConfigError):
        parse_steps("1e400")


def test_grids_and_values_are_typed():
    typed = ["gamma=1,2.5", "target-kl=0.1,none", "hidden_sizes=64,8x8"]
    assert parse_grid(typed, PPOConfig()) == {
        "gamma": [1, 2.5],
        "target_kl": [0.1, None],
        "hidden_sizes": [(64,), (8, 8)],
    }
    assert parse_value("true") is True and parse_value("1e-3") == 1e-3
