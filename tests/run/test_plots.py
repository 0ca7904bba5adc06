"""Learning curves: what is drawn for how many seeds, and how runs are told apart."""

import sys

import numpy as np
import pytest

from jaxrl.errors import ConfigError, MissingExtraError, RunFolderError
from jaxrl.run.folder import RunFolder
from jaxrl.run.plots import plot
from jaxrl.stats import iqm


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_under_ten_seeds_every_seed_is_a_line(make_result, tmp_path):
    result = make_result(seeds=3)
    figure = plot(result, path=tmp_path / "curve.png")
    axes = figure.axes[0]
    assert len(axes.lines) == 4 and not axes.collections
    np.testing.assert_allclose(
        axes.lines[-1].get_ydata(), [p.metrics["eval/return"].mean() for p in result.history]
    )
    np.testing.assert_array_equal(axes.lines[-1].get_xdata(), np.arange(100, 1001, 100))
    assert axes.get_xlabel() == "environment steps per seed"
    assert axes.get_ylabel() == "evaluation return (greedy policy)"
    assert legend(figure) == ["mean of 3 seeds"]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_from_ten_seeds_on_a_band(make_result):
    result = make_result(seeds=10)
    figure = plot(result)
    axes = figure.axes[0]
    assert len(axes.lines) == 1 and len(axes.collections) == 1
    expected = [iqm(p.metrics["eval/return"]) for p in result.history]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), expected)
    low, high = axes.collections[0].get_datalim(axes.transData).intervaly
    assert low < min(expected) and high > max(expected)
    assert legend(figure) == ["IQM of 10 seeds, 95 % interval"]


@pytest.mark.parametrize("seeds", [1, 3, 10])
def test_one_point_can_be_seen(make_result, seeds):
    line = plot(make_result(seeds=seeds, points=1)).axes[0].lines[-1]
    assert line.get_marker() == "o"


def test_training_return_where_nothing_was_evaluated(make_result):
    figure = plot(make_result(evaluate=False))
    assert figure.axes[0].get_ylabel() == "return of training episodes"
    # The first point has a seed without a finished episode.
    assert figure.axes[0].lines[-1].get_xdata()[0] == 200


def test_runs_with_the_same_name_are_numbered(make_result):
    figure = plot(make_result(), make_result(seeds=10))
    assert legend(figure) == ["ppo #1: mean of 3 seeds", "ppo #2: IQM of 10 seeds, 95 % interval"]
    colors = {line.get_color() for line in figure.axes[0].lines}
    assert len(colors) == 2


def test_combinations_of_a_sweep_are_not_taken_for_seeds(make_result):
    rates = [{"learning_rate": rate} for rate in (0.1, 0.1, 0.2, 0.2)]
    result = make_result(seeds=4, labels=tuple(rates))
    figure = plot(result)
    assert legend(figure) == [
        "learning_rate=0.1: mean of 2 seeds",
        "learning_rate=0.2: mean of 2 seeds",
    ]
    means = [line.get_ydata()[-1] for line in figure.axes[0].lines if line.get_linewidth() == 2]
    last = result.history[-1].metrics["eval/return"]
    assert means == pytest.approx([last[:2].mean(), last[2:].mean()])


def test_a_run_folder_can_be_given(make_result, tmp_path):
    folder, result = RunFolder(tmp_path / "first"), make_result()
    folder.on_start(result.info)
    for point in result.history[:4]:  # a run that goes on is drawn as far as it is
        folder.on_log(point)
    figure = plot(folder.path, result)
    assert legend(figure)[0].startswith("ppo (first): ")
    assert figure.axes[0].lines[0].get_xdata().size == 4


def test_nothing_to_plot(make_result, tmp_path):
    with pytest.raises(ConfigError, match="nothing to plot"):
        plot()
    with pytest.raises(ConfigError, match="no finished episode"):
        plot(make_result(points=0))
    with pytest.raises(RunFolderError):
        plot(tmp_path)


def test_matplotlib_missing(make_result, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"jaxrl\[plot\]"):
        plot(make_result())


def test_a_notebook_shows_it_unless_it_is_saved(make_result, tmp_path, monkeypatch):
    from jaxrl.run import plots

    shown = []
    monkeypatch.setattr(plots, "in_notebook", lambda: True)
    monkeypatch.setattr(plots, "display_image", shown.append)
    plot(make_result(), path=tmp_path / "curve.png")
    assert shown == []
    plot(make_result())
    assert len(shown) == 1 and shown[0].startswith(b"\x89PNG")
