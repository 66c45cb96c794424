import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.analysis import pareto
from benchmark.analysis.intervals import mean_interval

share = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])  # coarse, so that ties are common
points = st.lists(st.tuples(share, share), min_size=1, max_size=12)


def dominated(p, others):
    return any(o[0] >= p[0] and o[1] >= p[1] and o != p for o in others)


@given(points)
def test_front_equals_brute_force(found):
    sparsity, accuracy = zip(*found, strict=True)
    assert pareto.on_front(sparsity, accuracy).tolist() == [not dominated(p, found) for p in found]


def test_front_of_zero_sparsity_ties_nan_and_one_point():
    assert pareto.on_front([0.0], [0.9]).tolist() == [True]
    assert pareto.on_front([0.0, 0.0], [0.9, 0.8]).tolist() == [True, False]
    assert pareto.on_front([0.5, 0.5], [0.9, 0.9]).tolist() == [True, True]
    assert pareto.on_front([0.5, np.nan, 0.9], [0.9, 1.0, np.nan]).tolist() == [True, False, False]
    assert pareto.on_front([], []).tolist() == []
    assert pareto.on_front([np.nan], [np.nan]).tolist() == [False]


@given(st.lists(st.tuples(share, share, st.integers(0, 3)), min_size=1, max_size=12), st.integers(1, 5))
def test_attainment_equals_counting(found, least):
    sparsity, accuracy, run = map(np.array, zip(*found, strict=True))
    surface = pareto.attainment(sparsity, accuracy, run, least)
    runs = np.unique(run)
    for s in (0.0, 0.1, 0.25, 0.5, 0.75, 1.0):
        best = [accuracy[(run == r) & (sparsity >= s)].max(initial=-1) for r in runs]
        reached = sorted((b for b in best if b >= 0), reverse=True)
        expected = reached[least - 1] if len(reached) >= least else np.nan
        np.testing.assert_allclose(pareto.attained(surface, [s])[0], expected)


@pytest.mark.parametrize("runs", [1, 7, 30, 101])
def test_a_surface_is_what_exactly_so_many_runs_attain(runs):
    sparsity = (np.arange(runs) + 1) / runs  # the run of place i attains what up to i + 1 of them ask
    for least in {1, 2, runs // 2, runs - 1, runs} & set(range(1, runs + 1)):
        surface = pareto.attainment(sparsity, np.ones(runs), np.arange(runs), least)
        assert surface.tolist() == [[sparsity[runs - least], 1.0]]


def test_a_surface_begins_at_the_smallest_sparsity_and_has_two_columns():
    surface = pareto.attainment([0.9, 0.1, 0.5], [0.2, 0.8, 0.5], [0, 0, 0], 1)
    assert surface.tolist() == [[0.1, 0.8], [0.5, 0.5], [0.9, 0.2]]
    assert not np.signbit(pareto.attainment([0.0], [0.0], [0], 1)).any()


def test_a_runs_points_need_not_be_adjacent():
    surface = pareto.attainment([0.1, 0.2, 0.5, 0.6], [0.9, 0.8, 0.5, 0.4], [3, 8, 3, 8], 2)
    assert surface.tolist() == [[0.1, 0.8], [0.2, 0.5], [0.5, 0.4]]


def test_attainment_takes_whole_numbers_and_columns_of_objects():
    objects = pd.Series([0, 1], dtype=object)
    assert pareto.attainment(objects, objects[::-1].to_numpy(), [0, 1], 1).tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert pareto.attained(np.array([[0.5, 0.9]]), pd.Series([0.5, 0.6], dtype=object)).tolist()[0] == 0.9


def test_attainment_of_nothing():
    assert pareto.attainment([np.nan], [0.5], [0], 1).shape == (0, 2)
    assert np.isnan(pareto.attained(np.empty((0, 2)), [0.0])).all()


@given(points)
def test_hypervolume_equals_a_grid_count(found):
    sparsity, accuracy = map(np.array, zip(*found, strict=True))
    centres = (np.arange(40) + 0.5) / 40
    covered = [[((sparsity >= x) & (accuracy >= y)).any() for x in centres] for y in centres]
    assert pareto.hypervolume(sparsity, accuracy, 0.0) == pytest.approx(np.mean(covered), abs=1e-9)


def test_hypervolume_above_a_floor():
    assert pareto.hypervolume([0.5], [0.9], floor=0.8) == pytest.approx(0.25)
    assert pareto.hypervolume([0.5], [0.7], floor=0.8) == 0
    assert pareto.hypervolume([0.0, np.nan], [0.9, 0.9], floor=0.0) == 0
    assert pareto.hypervolume([0.5, 0.001], [0.8, 0.9], floor=0.8) == pytest.approx(
        0.001 * 0.5
    )  # at the floor: nothing
    assert pareto.hypervolume([1.0], [1.0], floor=0.98) == pytest.approx(1)


def test_mean_interval_is_students():
    interval = mean_interval([1.0, 2.0, 3.0, np.nan])
    half = 4.302652729749464 / np.sqrt(3)  # t(0.975, 2 degrees of freedom) · s / √n
    assert (interval.mean, interval.n) == (2.0, 3)
    assert (interval.low, interval.high) == pytest.approx((2 - half, 2 + half))


def test_mean_interval_of_one_and_none():
    one, none = mean_interval([0.5]), mean_interval([np.nan])
    assert (one.mean, one.n) == (0.5, 1)
    assert np.isnan(one.low)
    assert none.n == 0
    assert np.isnan(none.mean)


def test_largest_drop_follows_the_knob():
    assert pareto.largest_drop([3, 1, 2], [0.5, 0.9, 0.8]) == pytest.approx(0.3)
    assert pareto.largest_drop([1, 2], [0.8, 0.9]) == 0
    assert np.isnan(pareto.largest_drop([1, 2, 3], [0.9, np.nan, 0.7]))  # the drop may be at either side
    assert np.isnan(pareto.largest_drop([1], [0.9]))


def test_slope_is_what_least_squares_lose_per_sparsity():
    assert pareto.slope([0.2, 0.4, 0.6], [0.9, 0.8, 0.7]) == pytest.approx(0.5)
    assert pareto.slope([0.0, 0.5, 1.0], [0.9, 0.6, 0.9]) == pytest.approx(0)
    x, y = np.random.default_rng(0).random((2, 50))
    assert pareto.slope(x, y) == pytest.approx(-np.polyfit(x, y, 1)[0], rel=1e-12)
    assert np.isnan(pareto.slope([0.5, 0.5], [0.9, 0.8]))
    assert np.isnan(pareto.slope([0.2, 0.5], [0.9, np.nan]))
    assert np.isnan(pareto.slope([], []))
