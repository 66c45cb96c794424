import numpy as np
import pytest
from scipy import stats

from benchmark.analysis.intervals import Interval, bootstrap, intervals, mean_interval

VALUES = np.array([[1.0, 2.0, np.nan, 5.0], [3.0, np.nan, np.nan, 5.0], [4.0, np.nan, np.nan, 5.0]])


def test_intervals_of_columns_are_each_columns_own():
    found = intervals(VALUES)
    for place, column in enumerate(VALUES.T):
        assert {name: part[place] for name, part in found.items()} == pytest.approx(
            vars(mean_interval(column)), nan_ok=True
        )
    assert found["n"].tolist() == [3, 1, 0, 3]


def test_intervals_of_two_values_are_students():
    found = intervals(np.array([[1], [2]]))
    low, high = stats.ttest_1samp([1, 2], 0).confidence_interval(0.95)
    assert (found["low"][0], found["mean"][0], found["high"][0]) == pytest.approx((low, 1.5, high))


def test_intervals_of_nothing_known_warn_of_nothing(recwarn):
    intervals(VALUES)
    assert not recwarn.list


def test_values_that_are_not_known_do_not_count():
    assert mean_interval([None, 1.0, float("nan"), 2.0]) == mean_interval([1.0, 2.0])
    assert (mean_interval([None, 1.0]).mean, mean_interval([None, 1.0]).n) == (1.0, 1)


def test_two_values_have_an_interval():
    found = mean_interval([1.0, 2.0])
    low, high = stats.ttest_1samp([1, 2], 0).confidence_interval(0.95)
    assert (found.low, found.mean, found.high, found.n) == pytest.approx((low, 1.5, high, 2))
    assert np.isnan(mean_interval([1.0]).high)


def test_six_seeds_are_resampled_in_every_way_and_seven_as_the_generator_draws():
    six, seven = np.arange(6.0) ** 2, np.arange(7.0) ** 2
    assert bootstrap(six, np.random.default_rng(0)) == bootstrap(six, np.random.default_rng(1))
    found = bootstrap(seven, np.random.default_rng(0))
    drawn = stats.bootstrap(
        (seven,), np.mean, n_resamples=9999, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert found == Interval(seven.mean(), drawn.low, drawn.high, 7)


def test_two_seeds_have_a_bootstrap_interval():
    found = bootstrap([0.0, 1.0], np.random.default_rng(0))
    assert (found.low, found.mean, found.high, found.n) == (0.0, 0.5, 1.0, 2)
