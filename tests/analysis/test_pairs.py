import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st
from scipy import stats

from benchmark.analysis import pairs as statistics
from benchmark.analysis.intervals import bootstrap
from benchmark.site import comparisons
from tests.support.frames import DENSE, NAN, frame, rows

COUNTS = st.lists(st.integers(-5, 5), min_size=2, max_size=9)  # differences in images, so that ties are common
METHOD = [
    *rows("implicit", [(1, 0.96, 0.91, 0.5), (2, 0.95, 0.90, 0.8), (3, 0.94, 0.99, 0.92)], seed=0),
    *rows("implicit", [(1, 0.94, 0.93, 0.1), (2, 0.95, 0.88, 0.7), (3, 0.90, 0.50, 0.8)], seed=1),
]
RIVAL = [
    *rows("rival", [(1, 0.90, 0.80, 0.6), (2, 0.80, 0.70, 0.95)], seed=0),
    *rows("rival", [(1, 0.90, 0.84, 0.6), (2, 0.80, 0.60, 0.78)], seed=1),
]


def generator():
    return np.random.default_rng(1)


def chosen(*parts):
    return statistics.at_sparsity(frame(DENSE, *parts))


def test_at_each_sparsity_the_point_that_validates_best_is_shown_on_test():
    table = chosen(METHOD)
    got = {(r.seed, r.sparsity): r.test_accuracy for r in table.itertuples()}
    assert got == pytest.approx(
        {
            **{(0, 0.5): 0.91, (0, 0.75): 0.90, (0, 0.9): 0.99, (0, 0.95): NAN},
            **{(1, 0.5): 0.88, (1, 0.75): 0.50, (1, 0.9): NAN, (1, 0.95): NAN},
        },
        nan_ok=True,
    )
    assert list(table.key) == [
        "implicit-0-0",
        "implicit-0-1",
        "implicit-0-2",
        "",
        "implicit-1-1",
        "implicit-1-2",
        "",
        "",
    ]
    assert set(table.label) == {"implicit"}  # dense is no method


def test_failed_points_reach_nothing_and_ties_go_to_the_smaller_network():
    failed = rows("m", [(1, 0.99, 0.99, 0.9)], status="failed")
    tied = rows("m", [(2, 0.9, 0.7, 0.6), (3, 0.9, 0.6, 0.7)])
    table = chosen(failed, tied).set_index("sparsity")
    assert table.test_accuracy[0.5] == 0.6
    assert np.isnan(table.test_accuracy[0.9])
    assert len(chosen(rows("m", [(1, NAN, NAN, NAN)], status="crashed"))) == 4


def test_points_stand_in_the_order_of_the_records_and_of_equal_ones_the_smaller_knob_is_taken():
    equal = rows("z", [(2, 0.9, 0.8, 0.6), (1, 0.9, 0.7, 0.6)])
    table = chosen(equal, rows("a", [(1, 0.9, 0.9, 0.6)]))
    assert list(table.label) == ["z"] * 4 + ["a"] * 4
    assert " ".join(table) == "task label method seed sparsity test_accuracy param_sparsity key"
    assert (table.test_accuracy[0], table.param_sparsity[0]) == (0.7, 0.6)


def test_a_sparsity_that_rounding_makes_a_little_less_is_reached():
    assert chosen(rows("m", [(1, 0.9, 0.7, 0.9 - 1e-13)])).key.tolist() == ["m-0-0"] * 3 + [""]
    assert chosen(rows("m", [(1, 0.9, 0.7, 0.9 - 1e-11)])).key.tolist() == ["m-0-0"] * 2 + [""] * 2


def test_tables_do_not_depend_on_the_order_of_rows():
    forwards = frame(DENSE, METHOD, RIVAL)
    backwards = forwards.iloc[::-1]
    one, two = (statistics.at_sparsity(f) for f in (forwards, backwards))
    same = {"check_like": True, "check_exact": True}
    for first, second, by in (
        (one, two, ["label", "seed", "sparsity"]),
        (statistics.compare_methods(one), statistics.compare_methods(two), ["label", "sparsity"]),
        (statistics.hypervolumes(forwards), statistics.hypervolumes(backwards), ["label"]),
    ):
        first, second = (table.sort_values(by, ignore_index=True) for table in (first, second))
        pd.testing.assert_frame_equal(first, second, **same)


def test_methods_are_compared_over_the_pairs_that_both_reach():
    table = statistics.compare_methods(chosen(METHOD, RIVAL)).set_index("sparsity")
    assert dict(table.n) == {0.5: 2, 0.75: 2, 0.9: 1, 0.95: 0}
    assert set(table.slots) == {2}
    assert table.difference[0.5] == pytest.approx((-0.11 - 0.04) / 2)
    assert table.difference[0.9] == pytest.approx(0.70 - 0.99)
    assert (table.low[0.75], table.high[0.75]) == pytest.approx(
        (0.70 - 0.90, 0.60 - 0.50)
    )  # two pairs have no interval
    assert table.effect[0.5] == pytest.approx(-0.075 / np.std([0.11, 0.04], ddof=1))
    assert table.p.isna().all()  # nor a test that takes them to be normal
    assert table.p_flip[0.5] == 0.5
    assert np.isnan([table.p_flip[0.9], table.low[0.9]]).all()


def seeds_of(label, accuracies):
    return [row for seed, acc in enumerate(accuracies) for row in rows(label, [(1, 0.9, acc, 0.8)], seed=seed)]


def test_five_pairs_are_tested_and_have_a_t_interval():
    ours, theirs = [0.90, 0.91, 0.92, 0.93, 0.94], [0.91, 0.93, 0.93, 0.96, 0.95]
    table = statistics.compare_methods(chosen(seeds_of("implicit", ours), seeds_of("m", theirs))).set_index("sparsity")
    expected = stats.ttest_rel(theirs, ours)
    assert table.p[0.5] == pytest.approx(expected.pvalue)
    found = statistics.compare_methods(chosen(seeds_of("implicit", ours), seeds_of("m", [*theirs[:3], 0.965, 0.951])))
    assert found.ends[0] == "95 % t interval"
    assert found.p_holm[0] == pytest.approx(min(1, 2 * found.p[0]))  # at 50 and at 75 % removed


def test_every_method_is_set_against_scratch_and_against_the_subject_and_these_two_once():
    parts = [seeds_of(label, [0.9, 0.91]) for label in ("dense", "scratch", "random_filter", "implicit", "m")]
    table = statistics.compare_methods(statistics.at_sparsity(frame(*parts)))
    assert [*table[["against", "label"]].drop_duplicates().itertuples(index=False, name=None)] == [
        ("scratch", "random_filter"),
        ("scratch", "implicit"),
        ("scratch", "m"),
        ("implicit", "random_filter"),
        ("implicit", "m"),
    ]


def test_without_a_reference_nothing_is_compared():
    assert statistics.compare_methods(chosen(RIVAL)).empty


def test_differences_spread_at_least_as_much_as_their_rounding():
    equal = np.full(6, 0.01)
    assert statistics.paired_t(equal, step=0.01) > stats.ttest_1samp([*equal[:5], 0.01 + 1e-9], 0).pvalue
    deviation = 0.01 / np.sqrt(6)
    assert statistics.paired_t(equal, step=0.01) == pytest.approx(2 * stats.t.sf(0.01 / deviation * np.sqrt(6), 5))
    assert statistics.paired_t(np.zeros(6), step=0.01) == 1
    assert np.isnan(statistics.paired_t(equal[:1], step=0.01))


@pytest.mark.parametrize("count", range(2, 11))
def test_equal_differences_have_no_effect_size(count):
    for value in (0.1, 7 / 360, 0.002):
        found = statistics.paired(np.full(count, value).round(statistics.DIGITS), step=1 / 360)
        assert np.isnan(found["effect"])
        assert found["difference"] == pytest.approx(value)
    assert statistics.paired(np.array([0.1, 0.3]), step=0.1)["effect"] == pytest.approx(0.2 / np.sqrt(0.02))


def test_accuracies_move_in_the_smallest_step_that_was_seen():
    assert statistics.resolution([0.9, 0.93, NAN, 0.91, 0.9]) == pytest.approx(0.01)
    assert statistics.resolution([0.9]) == 0


def test_two_tasks_give_a_pair_for_each_task_and_seed():
    there = [{**r, "task": "u"} for r in METHOD + RIVAL]
    table = statistics.compare_methods(chosen(METHOD, RIVAL, there)).set_index("sparsity")
    assert dict(table.n) == {0.5: 4, 0.75: 4, 0.9: 2, 0.95: 0}


def test_the_step_of_accuracies_is_that_of_a_task_that_has_pairs():
    ours = seeds_of("implicit", [k / 7 for k in (2, 3, 4, 5, 2)])
    theirs = seeds_of("m", [k / 7 for k in (3, 4, 5, 6, 3)])  # one sample of seven more with every seed
    there = [{**r, "task": "u"} for r in seeds_of("implicit", [0.9, 0.9001])]  # of a larger test set, and no pair
    alone, beside = (statistics.compare_methods(chosen(*parts)) for parts in ((ours, theirs), (ours, theirs, there)))
    assert alone.p[0] == pytest.approx(2 * stats.t.sf(np.sqrt(5 * 6), 4))
    assert list(beside.p.dropna()) == list(alone.p.dropna())


def test_equal_methods_differ_by_nothing():
    same = [{**r, "label": "twin", "title": "Twin"} for r in METHOD]
    table = statistics.compare_methods(chosen(METHOD, same))
    assert set(table.difference.dropna()) == {0.0}
    assert set(table.p_flip.dropna()) == {1.0}
    assert table.effect.isna().all()


def test_hypervolume_of_each_method_is_that_of_its_validation_fronts():
    table = statistics.hypervolumes(frame(DENSE, METHOD)).iloc[0]
    first = 0.92 * (0.99 - 0.93) / 0.07  # from dense's 0.95 − 0.02; its third point dominates on test
    second = 0  # its first point, at the floor, validates below the second: not on the front
    assert (table.hypervolume, table.n, table.floor) == (pytest.approx((first + second) / 2), 2, pytest.approx(0.93))
    assert (table.low, table.high) == pytest.approx((second, first))
    assert statistics.hypervolumes(frame(METHOD)).empty  # no dense, no floor


def test_a_comparison_names_both_methods_and_a_single_pair_warns_of_nothing(recwarn):
    table = statistics.compare_methods(chosen(METHOD, RIVAL))
    assert table[["label", "method", "reference"]].drop_duplicates().to_numpy().tolist() == [
        ["rival", "Rival", "Implicit"]
    ]
    assert not recwarn.list


def test_hypervolumes_stand_in_the_order_of_the_records_and_are_drawn_from_one_seed():
    parts = [rows(label, [(1, 0.9, 1.0, share / 10)], seed=share) for label in ("z", "a") for share in range(1, 9)]
    records = frame(DENSE, *parts)
    table = statistics.hypervolumes(records)
    assert list(table.label) == ["z", "a"]
    assert table.iloc[0][2:].tolist()[1:] == table.iloc[1][2:].tolist()[1:]
    found = bootstrap([share / 10 for share in range(1, 9)], np.random.default_rng(0))
    assert (table.low[0], table.high[0]) == pytest.approx((found.low, found.high))


def test_texts_say_n_and_what_is_not_reached():
    table = chosen(METHOD, RIVAL)
    cells, note = comparisons.sparsity_texts(table)
    assert list(cells.columns) == ["method", *(f"≥ {share} % removed" for share in (50, 75, 90, 95)), "task"]
    assert cells.iloc[0, 3] == "99.0 (1 of 2)"
    assert cells.iloc[0, 1] == "89.5 (88.0 to 91.0)"
    assert "95 % t interval over seeds" in note
    poor = comparisons.sparsity_texts(chosen(rows("m", [(1, 0.9, 0.9, 0.6)])))[0]
    assert list(poor.iloc[0, 1:-1]) == ["90.0 (1 of 1)"] + ["not reached"] * 3
    cells, note = comparisons.comparison_texts(statistics.compare_methods(table))
    assert list(cells.pairs) == ["2 of 2", "2 of 2", "1 of 2", "0 of 2"]
    assert list(cells.difference) == [
        "-7.50 (-11.00 to -4.00)", "-5.00 (-20.00 to +10.00)", "-29.00 (1 of 1)", "not reached",
    ]  # fmt: skip
    assert set(cells.p) == {"–"}
    assert list(cells["p (sign flip)"]) == ["0.500", "1.000", "–", "–"]
    assert "No comparison has 5 pairs: nothing is tested." in note
    cells, note = comparisons.hypervolume_texts(statistics.hypervolumes(frame(DENSE, METHOD)))
    assert cells["95 % bootstrap interval"][0] == "0.000 to 0.789"
    assert "2: 50 %" in note
    assert "(t: 93.0 %)" in note


def test_the_note_says_over_how_many_tests_p_is_corrected():
    both = [rows(label, [(1, 0.9, 0.9, 0.8)], seed=s) for label in ("implicit", "m") for s in range(5)]
    note = comparisons.comparison_texts(statistics.compare_methods(chosen(*both)))[1]
    assert "Holm's correction of p is over the 2 tests of this table." in note


def test_a_study_without_results_gives_empty_tables():
    nothing = frame(DENSE, rows("implicit", [(1, NAN, NAN, NAN)], status="failed"))
    assert statistics.hypervolumes(nothing).hypervolume.tolist() == [0]
    table = statistics.at_sparsity(nothing)
    assert set(comparisons.sparsity_texts(table)[0].iloc[0, 1:-1]) == {"not reached"}
    cells, note = comparisons.comparison_texts(statistics.compare_methods(table))
    assert cells.empty
    assert "nothing is tested" in note
