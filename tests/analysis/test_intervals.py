import numpy as np
import pytest
from scipy import stats

from benchmark.analysis.intervals import Interval, bootstrap, intervals, mean_interval, shown, spread

NAN = float("nan")
VALUES = np.array(
    [
        [0.50, 0.99, 0.5, NAN, 0.5, 0.5],
        [0.52, 1.00, 0.5, NAN, NAN, 0.6],
        [0.54, 0.97, 0.5, NAN, NAN, 0.5],
        [0.51, 0.90, 0.6, NAN, NAN, NAN],
        [0.53, 1.00, 0.7, NAN, NAN, NAN],
    ]
)  # a t interval; one that leaves the range; three different values; nothing; one value; three values


def test_intervals_of_columns_are_each_columns_own():
    found = intervals(VALUES)
    for place, column in enumerate(VALUES.T):
        own = spread(column)
        expected = {name: getattr(own, name) for name in ("mean", "low", "high", "n")}
        assert {name: part[place] for name, part in found.items()} == pytest.approx(expected, nan_ok=True)
    assert found["n"].tolist() == [5, 5, 5, 0, 1, 3]


def test_a_t_interval_is_shown_where_enough_values_differ_and_it_is_possible():
    found = spread(VALUES[:, 0])
    low, high = stats.ttest_1samp(VALUES[:, 0], 0).confidence_interval(0.95)
    assert (found.low, found.high, found.student, found.ends) == pytest.approx((low, high, True, "95 % t interval"))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([0.5, 0.51, 0.52, 0.53], "four values"),
        ([0.5, 0.51, 0.52, 0.5, 0.51, 0.52], "three different values"),
        ([0.99, 1.0, 0.97, 0.9, 1.0], "an end above 1"),
        ([0.01, 0.0, 0.03, 0.1, 0.2], "an end below 0"),
    ],
)
def test_else_the_ends_are_the_smallest_and_the_largest_value(values, why):
    found = spread(values)
    assert (found.low, found.high, found.student) == (min(values), max(values), False), why
    assert found.mean == pytest.approx(np.mean(values))


def test_what_is_possible_can_be_told():
    values = [0.01, 0.0, 0.03, 0.1, 0.2]
    assert spread(values, least=-1.0).student
    assert not spread([value + 0.9 for value in values], least=-1.0).student
    assert intervals(np.array([[9.0], [10.0], [8.0], [7.0], [11.0]]), most=20)["low"][0] > 7
    assert intervals(np.array([[9.0], [10.0], [8.0], [7.0], [11.0]]))["low"][0] == 7


def test_of_one_value_or_none_there_are_no_ends():
    one, none = spread([None, 0.5]), spread([NAN])
    assert (one.mean, one.n, none.n) == (0.5, 1, 0)
    assert np.isnan([one.low, one.high, none.mean, none.low]).all()


def test_intervals_of_nothing_known_warn_of_nothing(recwarn):
    intervals(VALUES)
    intervals(np.empty((0, 2)))
    assert not recwarn.list


@pytest.mark.parametrize(
    ("values", "seeds", "text"),
    [
        (VALUES[:, 0], 5, "52.0 ± 2.0"),
        (VALUES[:, 0], 6, "52.0 ± 2.0 (5 of 6)"),
        ([0.204, 0.0, 0.571], 3, "25.8 (0.0 to 57.1)"),
        ([0.204, 0.0, 0.571], 4, "25.8 (0.0 to 57.1; 3 of 4)"),
        ([0.85, 0.85, 0.85], 3, "85.0 (3 of 3)"),
        ([0.85, 0.8501, 0.85], 3, "85.0 (3 of 3)"),
        ([0.85, 0.85], 3, "85.0 (2 of 3)"),
        ([0.85], 3, "85.0 (1 of 3)"),
        ([0.85, 0.85], 0, "85.0 (2 of 2)"),
        ([], 3, "–"),
    ],
)
def test_an_interval_says_how_sure_it_is(values, seeds, text):
    assert shown(spread(values), seeds) == text


def test_signs_digits_and_factors_can_be_told_and_zero_has_no_minus():
    assert shown(spread([-0.0123, 0.02], least=-1.0), digits=2, sign="+") == "+0.38 (-1.23 to +2.00)"
    assert shown(spread([-0.00001, -0.00001], least=-1.0)) == "0.0 (2 of 2)"
    assert shown(spread([0.5, 0.25]), factor=1, digits=3) == "0.375 (0.250 to 0.500)"


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
