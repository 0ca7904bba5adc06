"""Statistics over runs against scipy, by hand, and by counting how often an interval is right."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, trim_mean

from jaxrl.errors import ConfigError
from jaxrl.stats import iqm, probability_of_improvement, stratified_bootstrap_ci


def rng(seed=0):
    return np.random.default_rng(seed)


class TestIqm:
    def test_by_hand(self):
        """Of 8, two go on each side, whatever they are."""
        assert iqm(np.array([-1e9, 0, 3, 4, 5, 6, 7, 1e9])) == 4.5

    @pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 10, 33])
    def test_is_scipy(self, size):
        scores = rng(size).normal(size=size)
        np.testing.assert_allclose(iqm(scores), trim_mean(scores, 0.25))

    def test_runs_and_tasks_are_pooled(self):
        scores = rng().normal(size=(5, 4))
        np.testing.assert_allclose(iqm(scores), trim_mean(scores.ravel(), 0.25))
        assert iqm(scores) == iqm(scores.T)

    def test_lists_and_integers_will_do(self):
        assert iqm([1, 2]) == 1.5  # pyright: ignore[reportArgumentType]


class TestInterval:
    def test_same_generator_same_interval(self):
        scores = rng().normal(size=(10, 1))
        one, two, other = (
            stratified_bootstrap_ci(scores, rng=rng(seed), reps=200) for seed in (1, 1, 2)
        )
        assert one == two != other

    def test_one_run_is_its_own_interval(self):
        assert stratified_bootstrap_ci(np.array([3.0]), rng=rng()) == (3.0, 3.0)
        low, high = stratified_bootstrap_ci(np.array([[1.0, 2.0, 6.0]]), rng=rng(), reps=50)
        assert low == high == 3.0

    def test_covers_the_truth_about_as_often_as_it_says(self):
        """25 normal runs, true IQM 0. The percentile bootstrap is known to be a little short."""
        source, trials = rng(7), 150
        inside = 0
        for _ in range(trials):
            low, high = stratified_bootstrap_ci(source.normal(size=25), rng=source, reps=200)
            inside += low <= 0 <= high
        assert 0.86 <= inside / trials <= 0.99

    def test_is_that_of_the_mean_by_formula(self):
        """For the mean of many runs the bootstrap's interval is ± 1.96 standard errors."""
        scores = rng(3).normal(size=400)
        low, high = stratified_bootstrap_ci(
            scores, lambda x: float(np.mean(x)), rng=rng(4), reps=4000
        )
        error = 1.96 * scores.std() / 20
        np.testing.assert_allclose(
            [low, high], [scores.mean() - error, scores.mean() + error], atol=0.02
        )

    def test_more_confidence_is_wider(self):
        scores = rng().normal(size=12)
        inner = stratified_bootstrap_ci(scores, rng=rng(1), confidence=0.5)
        outer = stratified_bootstrap_ci(scores, rng=rng(1), confidence=0.99)
        assert outer[0] < inner[0] < inner[1] < outer[1]

    def test_tasks_are_strata(self):
        """Tasks that differ only from each other: resampling within each changes nothing."""
        scores = np.tile([[0.0, 100.0]], (6, 1))
        interval = stratified_bootstrap_ci(scores, lambda x: float(np.mean(x)), rng=rng(), reps=100)
        assert interval == (50.0, 50.0)

    @pytest.mark.parametrize("confidence", [0, 1, 95])
    def test_confidence_is_a_share(self, confidence):
        with pytest.raises(ConfigError, match=r"0\.95"):
            stratified_bootstrap_ci(np.ones(3), rng=rng(), confidence=confidence)


class TestImprovement:
    def test_by_hand(self):
        """Of six pairs x wins three and ties one."""
        x, y = np.array([1.0, 3.0]), np.array([0.0, 2.0, 3.0])
        assert probability_of_improvement(x, y) == (3 + 0.5) / 6

    def test_is_mann_whitney(self):
        x, y = rng(1).integers(0, 5, (9, 1)), rng(2).integers(0, 5, (7, 1))
        u = mannwhitneyu(x.ravel(), y.ravel()).statistic
        np.testing.assert_allclose(probability_of_improvement(x, y), u / 63)

    def test_swapped_they_sum_to_one(self):
        x, y = rng(3).normal(size=(6, 3)), rng(4).normal(size=(8, 3))
        total = probability_of_improvement(x, y) + probability_of_improvement(y, x)
        np.testing.assert_allclose(total, 1)
        assert probability_of_improvement(x, x) == 0.5

    def test_tasks_are_compared_with_themselves(self):
        """Better on each of two tasks of very different scale, so better for certain."""
        x, y = np.array([[1.0, 1000.0]]), np.array([[0.0, 900.0]])
        assert probability_of_improvement(x, y) == 1

    def test_tasks_must_match(self):
        with pytest.raises(ConfigError, match="2 tasks and y 3"):
            probability_of_improvement(np.ones((4, 2)), np.ones((4, 3)))


@pytest.mark.parametrize(
    "call",
    [
        iqm,
        lambda x: stratified_bootstrap_ci(x, rng=rng()),
        lambda x: probability_of_improvement(x, np.ones(2)),
    ],
)
@pytest.mark.parametrize("scores", [[1.0, np.nan], []])
def test_nothing_and_nan_are_refused(call, scores):
    with pytest.raises(ConfigError, match="score"):
        call(np.array(scores))
