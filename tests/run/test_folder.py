"""The run folder: what is written, what is read back, and what is refused."""

import json
import subprocess
import sys
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.errors import RunFolderError
from jaxrl.run.folder import (
    RunFolder,
    check_same_config,
    default_run_path,
    describe_run,
    plain,
    read_run,
    summarize_result,
)


def strict_json(path):
    """Fails on NaN and Infinity, which are not JSON."""

    def refuse(word):
        raise AssertionError(f"{word} in {path}")

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.fixture
def finished(tmp_path, make_result):
    folder, result = RunFolder(tmp_path / "run"), make_result()
    folder.on_start(result.info)
    for point in result.history:
        folder.on_log(point)
    folder.on_checkpoint(10, {"x": jnp.arange(3.0)}, result.history[-1])
    folder.on_end(result)
    return folder.path, result


def test_layout(finished):
    path, _ = finished
    assert {p.name for p in path.iterdir()} == {
        "config.json",
        "machine.json",
        "metrics.jsonl",
        "result.json",
        "checkpoints",
        "policy",
        "curve.png",
    }
    assert {p.name for p in (path / "policy").iterdir()} == {"policy.safetensors", "config.json"}


def test_result_has_the_documented_fields(finished):
    path, given = finished
    result = strict_json(path / "result.json")
    assert {
        *("env", "algorithm", "seeds", "total_steps", "eval_return", "steps_to_threshold"),
        *("compile_seconds", "train_seconds", "wall_seconds", "steps_per_second"),
        *("peak_memory_bytes", "versions", "config_hash"),
    } <= result.keys()
    evaluation = result["eval_return"]
    assert evaluation["per_seed"] == pytest.approx(given.final.per_seed)
    assert evaluation["iqm"] == pytest.approx(given.final.per_seed.mean())  # of 3: the mean
    low, high = evaluation["ci95"]
    assert min(evaluation["per_seed"]) <= low < evaluation["iqm"] < high
    assert (evaluation["episodes"], evaluation["greedy"]) == (4, True)
    assert result["steps_to_threshold"] == [300, None, None]
    assert result["total_steps"] == 1000
    assert result["config_hash"] == strict_json(path / "config.json")["config_hash"]


def test_interval_is_the_same_each_time_and_absent_for_one_seed(make_result):
    assert summarize_result(make_result()) == summarize_result(make_result())
    assert summarize_result(make_result(seeds=1))["eval_return"]["ci95"] is None
    assert summarize_result(make_result(evaluate=False))["eval_return"] is None


def test_history_comes_back(finished):
    path, result = finished
    for line in (path / "metrics.jsonl").read_text().splitlines():
        assert "NaN" not in line
    history = read_run(path).history
    assert [(p.step, p.update, p.timing) for p in history] == [
        (p.step, p.update, p.timing) for p in result.history
    ]
    for ours, given in zip(history, result.history, strict=True):
        for name, values in given.metrics.items():
            np.testing.assert_array_equal(ours.metrics[name], values)
    assert np.isnan(history[0].metrics["episode/return"][0])


def test_machine_says_nothing_of_whose_it_is(finished):
    path, _ = finished
    machine = strict_json(path / "machine.json")
    assert machine["cores"] >= 1 and machine["devices"] and machine["versions"]["jax"]
    assert not {"host", "hostname", "user", "node", "cwd"} & machine.keys()
    assert str(path.parent) not in json.dumps(machine)


def test_unfinished_run_reads_to_its_last_whole_line(tmp_path, make_info, make_point):
    folder = RunFolder(tmp_path / "run")
    folder.on_start(make_info())
    for update in (1, 2, 3):
        folder.on_log(make_point(update))
    metrics = folder.path / "metrics.jsonl"
    whole = metrics.read_text()
    for cut in (1, 2, 40):  # without the line's end, its last bracket, most of it
        metrics.write_text(whole[:-cut])
        record = read_run(folder.path)
        assert [p.update for p in record.history] == [1, 2]
        assert record.result is None


def test_resume_writes_no_line_twice(tmp_path, make_info, make_point):
    info, path = make_info(), tmp_path / "run"
    folder = RunFolder(path)
    folder.on_start(info)
    for update in (1, 2, 3):
        folder.on_log(make_point(update))
        if update == 2:
            folder.on_checkpoint(2, {"x": jnp.float32(2)}, make_point(2))
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 400, "upd')  # killed in the middle of a line
    before = (path / "metrics.jsonl").read_text().splitlines()[:2]

    again = RunFolder.resume(path, info)
    update, history, state = again.restore({"x": jnp.float32(0)})
    assert (update, [p.update for p in history], float(state["x"])) == (2, [1, 2], 2.0)
    assert (path / "metrics.jsonl").read_text().splitlines() == before
    again.on_start(info)
    again.on_log(make_point(3))
    assert [p.update for p in read_run(path).history] == [1, 2, 3]


def test_killed_before_its_first_checkpoint_begins_anew(tmp_path, make_info, make_point):
    folder = RunFolder(tmp_path / "run")
    folder.on_start(make_info())
    folder.on_log(make_point(1))
    like = {"x": jnp.ones(2)}
    assert RunFolder.resume(folder.path, make_info()).restore(like) == (0, [], like)
    assert read_run(folder.path).history == []


def test_checkpoints_are_ranked_by_evaluation(tmp_path, make_info, make_point):
    folder = RunFolder(tmp_path / "run")
    folder.on_start(make_info())
    for update in (9, 10, 11, 12):  # 10 is the best that was evaluated
        point = make_point(update, evaluate=update == 10)
        folder.on_checkpoint(update, {"x": jnp.zeros(1)}, point)
    assert folder.checkpoints.best() == 10
    assert folder.checkpoints.updates() == [10, 11, 12]


def test_a_folder_is_not_written_over(finished, make_info):
    path, _ = finished
    with pytest.raises(RunFolderError, match=r"holds a run already.*--resume"):
        RunFolder(path)
    with pytest.raises(RunFolderError, match="has run to its end"):
        RunFolder.resume(path, make_info())


def test_not_a_run_folder(tmp_path):
    with pytest.raises(RunFolderError, match="not a run folder"):
        read_run(tmp_path)
    (tmp_path / "config.json").write_text("# something else")
    with pytest.raises(RunFolderError, match="not a run folder"):
        read_run(tmp_path)
    (tmp_path / "config.json").write_text('{"format": 999}')
    with pytest.raises(RunFolderError, match="format 999, this jaxrl reads 1"):
        read_run(tmp_path)


def test_same_config_is_accepted_whatever_its_number_types(finished, make_info):
    path, result = finished
    check_same_config(read_run(path), make_info())
    config = result.info.algorithm.config.replace(learning_rate=np.float64(3e-4))
    check_same_config(read_run(path), make_info(config=config))


def test_differing_settings_are_named(finished, make_info):
    path, result = finished
    config = result.info.algorithm.config.replace(learning_rate=1e-2, hidden_sizes=(8, 8))
    other = make_info(seeds=2, config=config, total_steps=2000)
    with pytest.raises(RunFolderError) as error:
        check_same_config(read_run(path), other)
    text = str(error.value)
    for part in ("learning_rate: 0.0003 there, 0.01 now", "hidden_sizes", "seeds", "total_steps"):
        assert part in text
    assert "max_grad_norm" not in text


def test_infinite_settings_survive(finished):
    path, _ = finished
    assert strict_json(path / "config.json")["config"]["max_grad_norm"] == "inf"
    assert read_run(path).config["config"]["max_grad_norm"] == np.inf


def test_hash_is_of_the_experiment_not_of_its_seeds(make_info):
    def digest(**changes):
        return describe_run(make_info(**changes))["config_hash"]

    assert digest() == digest(seeds=5)
    assert len({digest(), digest(total_steps=2000), digest(reward_name="other")}) == 3
    config = make_info().algorithm.config.replace(learning_rate=1e-3)
    assert digest() != digest(config=config)


def test_plain_takes_arrays_and_leaves_no_object():
    value = {"a": jnp.float32(0.5), "b": (np.arange(2), None, True), "c": SimpleNamespace()}
    made = plain(value)
    assert made["a"] == 0.5 and made["b"] == [[0, 1], None, True]
    json.dumps(made, allow_nan=False)
    assert plain(jnp.array([jnp.inf, 1.0])) == ["inf", 1.0]


def test_default_paths_differ_within_a_second(tmp_path):
    paths = {default_run_path("gymnax:CartPole-v1", "ppo", tmp_path) for _ in range(4)}
    assert len(paths) == 4
    assert all(p.parent == tmp_path / "gymnax-CartPole-v1" / "ppo" for p in paths)
    RunFolder(paths.pop())  # an empty folder is free to be used


def test_processes_started_together_get_folders_of_their_own(tmp_path):
    code = (
        "import sys; from jaxrl.run.folder import default_run_path; input(); "
        "print(default_run_path('E', 'ppo', sys.argv[1]))"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command, **pipes) for _ in range(3)]
    assert len({process.communicate("\n")[0] for process in processes}) == 3


def test_a_sweep_is_summarised_setting_by_setting(make_result):
    rates = ({"learning_rate": 1e-4},) * 2 + ({"learning_rate": 1e-3},) * 2
    result = make_result(seeds=4, labels=rates)
    evaluation = summarize_result(result)["eval_return"]
    assert evaluation["iqm"] is None and evaluation["ci95"] is None
    low, high = evaluation["sweep"]
    assert (low["settings"], high["settings"]) == (rates[0], rates[2])
    assert low["iqm"] == pytest.approx(result.final.per_seed[:2].mean())
    assert high["per_seed"] == pytest.approx(result.final.per_seed[2:])
    plain = summarize_result(make_result(seeds=4))
    assert plain["config_hash"] != summarize_result(result)["config_hash"]


def test_the_result_is_written_last(tmp_path, make_info, make_result, monkeypatch):
    """A run that is killed while its curve is drawn has not ended: it can be resumed."""
    folder = RunFolder(tmp_path / "run")
    folder.on_start(make_info())

    def killed(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("jaxrl.run.plots.plot", killed)
    with pytest.raises(KeyboardInterrupt):
        folder.on_end(make_result())
    assert not (folder.path / "result.json").exists()
