"""Sign flips, Holm's correction and the bootstrap, against counting all cases."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmark.analysis import pairs as statistics
from benchmark.analysis.intervals import bootstrap
from tests.analysis.test_pairs import COUNTS, chosen, generator
from tests.support.frames import NAN, rows


@settings(deadline=None)
@given(COUNTS)
def test_sign_flip_equals_counting_all_flips(counts):
    differences = np.array(counts) / 360
    flips = np.array(list(itertools.product([1, -1], repeat=len(counts))))
    sums = (flips * np.array(counts)).sum(axis=1)  # integers: no rounding
    expected = np.mean(np.abs(sums) >= abs(sum(counts)))
    assert statistics.sign_flip(differences, generator()) == pytest.approx(expected)
    assert statistics.sign_flip(-differences, generator()) == pytest.approx(expected)
    assert statistics.sign_flip(differences[::-1], generator()) == pytest.approx(expected)
    rounded = differences.round(statistics.DIGITS)  # as comparisons give them
    assert statistics.sign_flip(rounded, generator()) == pytest.approx(expected)
    assert expected >= 2 / 2 ** len(counts)


def test_flips_with_equal_means_are_equal_though_every_difference_was_rounded():
    rounded = (np.array([-45, -37, 35, 37]) / 360).round(statistics.DIGITS)
    assert statistics.sign_flip(rounded, generator()) == 14 / 16  # only ±(45 + 35 − 37 − 37) is nearer to 0


def test_all_pairs_alike_give_the_smallest_p_and_one_pair_none():
    assert statistics.sign_flip([0.1, 0.2, 0.3], generator()) == 0.25
    assert np.isnan(statistics.sign_flip([0.1], generator()))


def test_many_pairs_are_sampled_near_the_normal_limit():
    differences = np.random.default_rng(0).normal(0.4, 1, 40)
    limit = 2 * stats.norm.sf(abs(differences.sum()) / np.sqrt((differences**2).sum()))
    assert statistics.sign_flip(differences, generator()) == pytest.approx(limit, abs=0.01)


def test_holm_of_a_worked_example():
    found = statistics.holm([0.01, 0.04, NAN, 0.03, 0.005])
    assert found == pytest.approx([0.03, 0.06, NAN, 0.06, 0.02], nan_ok=True)
    assert statistics.holm([]).size == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms())
def test_holm_rejects_what_the_step_down_procedure_rejects(p, random):
    corrected = statistics.holm(p)
    assert (corrected >= p).all()
    assert (corrected <= 1).all()
    assert (np.diff(corrected[np.argsort(p, kind="stable")]) >= 0).all()
    order = random.sample(range(len(p)), len(p))
    assert np.array_equal(statistics.holm(np.array(p)[order]), corrected[order])
    for level in (0.011, 0.0503, 0.207):
        rejected, going = set(), True
        for rank, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
            going = going and p[place] * (len(p) - rank) <= level
            if going:
                rejected.add(place)
        assert set(np.flatnonzero(corrected <= level)) == rejected


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_bootstrap_of_few_seeds_equals_counting_multisets(values):
    found = bootstrap(values, generator())
    means = sorted(sum(draw) / len(values) for draw in itertools.product(sorted(values), repeat=len(values)))
    tail = int(np.ceil(0.025 * len(means))) - 1  # the least mean that 2.5 % of the resamples do not exceed
    assert found.low == pytest.approx(means[tail], abs=1e-9)
    assert found.high == pytest.approx(means[len(means) - 1 - tail], abs=1e-9)
    assert min(values) - 1e-12 <= found.low <= found.mean + 1e-12
    assert found == bootstrap(values[::-1], generator())


def test_bootstrap_of_many_seeds_is_near_the_normal_interval_and_of_one_is_none():
    values = np.random.default_rng(0).normal(0.9, 0.01, 50)
    found = bootstrap(values, generator())
    half = 1.96 * values.std() / np.sqrt(50)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=half / 10)
    assert found == bootstrap(values[::-1], generator())
    one = bootstrap([0.5], generator())
    assert (one.mean, one.n) == (0.5, 1)
    assert np.isnan(one.low)


def test_many_pairs_give_the_same_p_each_time():
    both = [
        rows(label, [(1, 0.9, 0.9 + drop * np.sin(seed) / 50, 0.95)], seed=seed)
        for label, drop in (("implicit", 1), ("m", 2))
        for seed in range(16)
    ]
    found = statistics.compare_methods(chosen(*both))
    differences = [np.sin(seed) / 50 for seed in range(16)]
    assert found.p_flip[0] == statistics.sign_flip(differences, np.random.default_rng(0))
