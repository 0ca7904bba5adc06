"""The sinks: what a log point becomes, and what each is sent."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from jaxrl.errors import MissingExtraError
from jaxrl.run.loggers import TensorBoard, WandB, scalars


def test_scalars_are_the_mean_and_each_of_a_few_seeds(make_point):
    rows = scalars(make_point(1), (4, 5, 6))
    assert rows["episode/return"] == 10.0  # the mean of those that have one
    assert "episode/return/seed4" not in rows  # had no episode
    assert rows["episode/return/seed5"] == 10.0
    assert rows["time/train_seconds"] == 1.0


def test_scalars_leave_out_what_was_not_counted(make_point):
    rows = scalars(make_point(2, evaluate=False), (0, 1, 2))
    assert not [name for name in rows if name.startswith("eval/")]
    assert np.isfinite(list(rows.values())).all()


@pytest.mark.parametrize(("seeds", "each"), [(1, 0), (2, 2), (8, 8), (9, 0)])
def test_each_seed_up_to_eight(make_point, seeds, each):
    rows = scalars(make_point(2, seeds=seeds), tuple(range(seeds)))
    assert len([name for name in rows if name.startswith("eval/return/seed")]) == each


def listen(sink, result):
    sink.on_start(result.info)
    for point in result.history:
        sink.on_log(point)
    sink.on_checkpoint(10, None, result.history[-1])
    sink.on_end(result)


def test_tensorboard_leaves_an_event_file(make_result, tmp_path):
    listen(TensorBoard(tmp_path), make_result(points=3))
    (events,) = tmp_path.glob("events.*")
    written = events.read_bytes()
    for name in (b"eval/return", b"eval/return/seed2", b"time/steps_per_second", b"learning_rate"):
        assert name in written


def test_wandb_is_sent_config_points_and_summary(make_result, monkeypatch):
    sent = SimpleNamespace(init=None, logs=[], summary={}, finished=0)

    class Run:
        summary = sent.summary

        def log(self, rows, step):
            sent.logs.append((step, rows))

        def finish(self):
            sent.finished += 1

    def init(**settings):
        sent.init = settings
        return Run()

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    result = make_result(points=3)
    listen(WandB("my-project", mode="offline"), result)
    assert sent.init["project"] == "my-project" and sent.init["mode"] == "offline"
    assert sent.init["config"]["config"]["learning_rate"] == 3e-4
    assert [step for step, _ in sent.logs] == [100, 200, 300]
    assert sent.logs[-1][1]["eval/return"] == pytest.approx(result.final.per_seed.mean())
    assert sent.summary["eval_return"]["episodes"] == 4
    assert sent.finished == 1


@pytest.mark.parametrize(
    ("sink", "package", "extra"),
    [(TensorBoard, "tensorboardX", "tensorboard"), (WandB, "wandb", "wandb")],
)
def test_missing_package_names_its_extra(sink, package, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"jaxrl\[{extra}\]"):
        sink(str(tmp_path))
