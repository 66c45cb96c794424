import numpy as np
import pytest

from benchmark.analysis import summary as summary_table
from benchmark.analysis.summary import MARK, handicapped, marked, note, shared_range, summarise
from tests.support.frames import DENSE, NAN, frame, rows

METHOD = rows("m", [(1, 0.96, 0.94, 0.1), (2, 0.95, 0.93, 0.5), (3, 0.94, 0.99, 0.9)])


def only(*parts, label="M"):
    summary = summarise(frame(*parts))
    return summary[summary.method.str.removesuffix(MARK) == label].iloc[0]


def test_rows_stand_in_the_records_order_a_task_after_the_other():
    there = rows("m", [(1, 0.9, 0.9, 0.5)], task="a") + rows("m", [(1, 0.9, 0.9, 0.5)], task="a", seed=1)
    summary = summarise(frame(METHOD, DENSE, there))
    assert [*zip(summary.task, summary.method, summary.seeds, strict=True)] == [
        ("t", "M", 2),
        ("t", "Dense", 2),
        ("a", "M", 2),
    ]
    assert list(summary) == [
        "task",
        "method",
        "seeds",
        "trials",
        "failed",
        "collapsed",
        "best accuracy",
        "within 1",
        "within 1, on test",
        "within 2",
        "within 2, on test",
        "hypervolume",
        "largest drop",
        "slope",
    ]


def test_a_collapsed_trial_is_a_result_and_counted():
    collapsed = rows("m", [(4, 0.5, 0.95, 1.0)], status="collapsed")
    failed = rows("m", [(5, NAN, NAN, NAN)], status="failed")
    m = only(DENSE, METHOD, collapsed, failed)
    assert (m.trials, m.failed, m.collapsed) == (5, 1, 1)
    assert m.hypervolume.mean > only(DENSE, METHOD).hypervolume.mean


def test_dense_is_not_compared_with_itself():
    dense = only(DENSE, METHOD, label="Dense")
    names = ("within 1", "within 2, on test", "hypervolume", "largest drop", "slope")
    assert [dense[name].n for name in names] == [0] * 5
    assert dense["best accuracy"].n == 2


def test_a_point_exactly_as_far_below_dense_as_is_told_counts():
    # dense validates at 0.96 on average; 0.95 is 1 point below, but for what rounding makes of it
    m = only(DENSE, METHOD)
    assert (m["within 1"].mean, m["within 2"].mean) == (0.5, 0.9)
    assert only(DENSE, rows("m", [(1, 0.9499, 0.9, 0.5)]))["within 1"].mean == 0


def test_what_validation_chose_is_shown_at_test_against_dense():
    m = only(DENSE, METHOD)  # dense has 0.95 at test on average
    assert m["within 1, on test"].mean == pytest.approx(0.93 - 0.95)
    assert m["within 2, on test"].mean == pytest.approx(0.99 - 0.95)
    lost = rows("m", [(1, 0.5, 0.99, 0.9)], seed=1)
    m = only(DENSE, METHOD, lost)
    assert (m["within 1"].n, m["within 1, on test"].n) == (2, 1)


def test_a_hypervolume_counts_from_two_points_below_dense_and_of_the_points_that_validation_chooses():
    worse = rows("m", [(1, 0.96, 0.94, 0.5), (2, 0.95, 0.97, 0.5)])  # the second is on no front
    assert only(DENSE, worse).hypervolume.mean == pytest.approx(0.5 * (0.94 - 0.93) / (1 - 0.93))
    assert only(DENSE, rows("m", [(1, 0.96, 0.93, 0.9)])).hypervolume.mean == pytest.approx(0)
    assert only(worse).hypervolume.n == 0  # without dense there is no floor


def test_a_seed_without_a_result_has_no_hypervolume():
    lost = rows("m", [(1, NAN, NAN, NAN)], seed=1, status="failed")
    assert only(DENSE, METHOD, lost).hypervolume.mean == pytest.approx(only(DENSE, METHOD).hypervolume.mean / 2)


RIVAL = rows("r", [(1, 0.96, 0.94, 0.3), (2, 0.95, 0.90, 0.6), (3, 0.94, 0.80, 0.95)])


def test_methods_share_what_the_weakest_and_the_strongest_points_leave_controls_aside():
    wide = [rows(name, [(1, 0.9, 0.9, 0.4), (2, 0.9, 0.9, 0.5)]) for name in ("scratch", "random_filter")]
    assert shared_range(frame(DENSE, METHOD, RIVAL, *wide)) == (0.3, 0.9)
    other = rows("m", [(1, 0.96, 0.94, 0.3), (2, 0.95, 0.93, 0.5), (3, 0.94, 0.99, 0.7)], seed=1)
    assert shared_range(frame(DENSE, METHOD, other, RIVAL)) == pytest.approx((0.3, 0.8))  # of means over seeds
    assert np.isnan(shared_range(frame(DENSE))).all()


def test_drops_and_slopes_are_those_within_the_range_that_methods_share():
    # from 0.3 to 0.9: of m the points at 0.5 and 0.9, of the rival those at 0.3 and 0.6
    m, rival = (only(DENSE, METHOD, RIVAL, label=label) for label in ("M", "R"))
    assert (m["largest drop"].mean, rival["largest drop"].mean) == pytest.approx((0, 0.04))
    assert (m.slope.mean, rival.slope.mean) == pytest.approx((-0.06 / 4, 0.04 / 3))
    single = rows("s", [(1, 0.9, 0.9, 0.1), (2, 0.9, 0.9, 0.5), (3, 0.9, 0.9, 0.99)])
    alone = only(DENSE, METHOD, RIVAL, single, label="S")
    assert (alone["largest drop"].n, alone.slope.n) == (0, 0)


def test_no_drop_is_told_where_a_point_has_no_result_or_more_than_the_knob_changes():
    lost = rows("m", [(1, 0.96, 0.94, 0.1), (2, NAN, NAN, NAN), (3, 0.94, 0.9, 0.9)], seed=1)
    lost[1]["status"] = "failed"
    m = only(DENSE, METHOD, lost)
    assert (m["largest drop"].n, m.slope.n) == (1, 1)
    other = [{**r, "hyperparameters": r["hyperparameters"][:-1] + f', "learning_rate": {r["knob"]}}}'} for r in METHOD]
    assert only(DENSE, other)["largest drop"].n == 0


def test_a_method_whose_weakest_point_validates_far_below_dense_is_handicapped():
    # dense validates at 0.96: at 0.957 a method is not handicapped yet
    weak = [rows(label, [(1, val, 0.9, 0.1), (2, 0.96, 0.9, 0.5)]) for label, val in (("ok", 0.957), ("low", 0.9569))]
    control = rows("random_filter", [(1, 0.5, 0.5, 0.1), (2, 0.5, 0.5, 0.5)])
    single = rows("single", [(1, 0.5, 0.5, 0.5)])
    records = frame(DENSE, *weak, control, single)
    assert handicapped(records) == [("t", "low")]
    assert sorted(set(marked(records).title)) == ["Dense", "Low" + MARK, "Ok", "Random_Filter", "Single"]
    assert list(summarise(records).method) == ["Dense", "Ok", "Low" + MARK, "Random_Filter", "Single"]
    assert "handicapped: the weakest knob point" in note(records)
    assert "handicapped" not in note(frame(DENSE, METHOD))
    assert handicapped(frame(*weak)) == []


def test_the_weakest_point_is_that_of_the_mean_over_seeds():
    one = rows("m", [(1, 0.97, 0.9, 0.1), (2, 0.96, 0.9, 0.5)]) + rows(
        "m", [(1, 0.95, 0.9, 0.3), (2, 0.5, 0.9, 0.2)], seed=1
    )
    assert handicapped(frame(DENSE, one)) == []


def test_the_note_names_the_floor_and_the_range_of_every_task():
    there = rows("dense", [(NAN, 0.9, 0.85, 0.0)], task="u") + rows("m", [(1, 0.9, 0.9, 0.5)], task="u")
    text = note(frame(DENSE, METHOD, there, rows("m", [(1, 0.9, 0.9, 0.5)], task="v")))
    assert "dense's test accuracy − 2 points (t: 93.0; u: 83.0; v: none)" in text
    assert "span (t: 10.0 to 90.0; u: 50.0 to 50.0; v: 50.0 to 50.0)" in text
    assert summary_table.RULE in text


def test_methods_that_share_no_range_have_none():
    apart = rows("r", [(1, 0.96, 0.94, 0.92), (2, 0.95, 0.90, 0.95)])
    assert "span (t: none)" in note(frame(DENSE, METHOD, apart))
    assert "span (t: none)" in note(frame(DENSE))
