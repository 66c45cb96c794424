import numpy as np
import pytest

from benchmark.analysis.summary import summarise
from tests.support.frames import DENSE, NAN, frame, rows

METHOD = rows("m", [(1, 0.96, 0.91, 0.1), (2, 0.95, 0.90, 0.5), (3, 0.94, 0.99, 0.9)])


def only(*parts, label="M"):
    summary = summarise(frame(*parts))
    return summary[summary.method == label].iloc[0]


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
        "within 0.5",
        "within 1",
        "within 2",
        "hypervolume",
        "largest drop",
        "cost",
    ]


def test_a_collapsed_trial_is_a_result_and_counted():
    collapsed = rows("m", [(4, 0.5, 0.5, 1.0)], status="collapsed")
    failed = rows("m", [(5, NAN, NAN, NAN)], status="failed")
    m = only(DENSE, METHOD, collapsed, failed)
    assert (m.trials, m.failed, m.collapsed) == (5, 1, 1)
    assert m.hypervolume.mean > only(DENSE, METHOD).hypervolume.mean


def test_the_control_is_not_compared_with_itself():
    dense = only(DENSE, METHOD, label="Dense")
    assert [dense[name].n for name in ("within 0.5", "within 2", "hypervolume", "largest drop")] == [0] * 4
    assert (dense["best accuracy"].n, dense.cost) == (2, 1.0)


def test_a_point_exactly_as_far_below_dense_as_is_told_counts():
    # dense validates at 0.96 on average; 0.95 is 1 point below, but for what rounding makes of it
    m = only(DENSE, METHOD)
    assert (m["within 0.5"].mean, m["within 1"].mean, m["within 2"].mean) == (0.1, 0.5, 0.9)
    assert only(DENSE, rows("m", [(1, 0.9499, 0.9, 0.5)]))["within 1"].mean == 0


def test_cost_is_the_ratio_of_medians():
    slow = [{**row, "seconds": seconds} for row, seconds in zip(METHOD, (1.0, 6.0, 50.0), strict=True)]
    assert only(DENSE, slow).cost == 3.0
    assert np.isnan(only(METHOD).cost)


def test_a_hypervolume_is_of_the_points_that_validation_chooses_from_zero_on():
    worse = rows("m", [(1, 0.96, 0.8, 0.5), (2, 0.95, 0.9, 0.5)])  # the second is on no front
    assert only(DENSE, worse).hypervolume.mean == pytest.approx(0.4)
