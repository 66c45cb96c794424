import numpy as np
import pytest

from benchmark.figures.marks import collect_marks
from tests.support.frames import DENSE, frame, rows


def random_seeds(count):
    generator = np.random.default_rng(count)
    sparsity = generator.integers(1, 10, (count, 12)) / 10  # coarse, so that points share coordinates
    accuracy = 1 - sparsity / 2 - generator.integers(0, 3, (2, count, 12)) / 10
    values = np.stack([*accuracy, sparsity], axis=2)
    return [row for seed in range(count) for row in rows("m", [(1, *value) for value in values[seed]], seed=seed)]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_corner_is_the_smallest_sparsity_and_accuracy_of_its_records(count):
    records = frame(DENSE, random_seeds(count))
    by_key = records.set_index("key")
    marks = collect_marks(records, "param_sparsity")
    corners = marks[marks.mark != "trial"]
    assert len(corners) > count
    for corner in corners.itertuples():
        mine = by_key.loc[corner.key.split()]
        assert set(mine.label) == {"m"}
        assert corner.x == 100 * mine.param_sparsity.min()
        assert corner.y == 100 * mine.test_accuracy.min()


def test_a_corner_that_one_seed_attains_is_one_record_and_one_that_all_attain_may_need_two():
    parts = rows("m", [(1, 0.9, 0.9, 0.2)], seed=0), rows("m", [(1, 0.9, 0.8, 0.4)], seed=1)
    marks = collect_marks(frame(*parts), "param_sparsity").set_index("mark")
    assert marks.key["attained by one"].tolist() == ["m-0-0", "m-1-0"]
    assert marks.key["attained by all"] == "m-0-0 m-1-0"
    assert marks.loc["attained by all", ["x", "y"]].tolist() == [20.0, 80.0]


def test_seeds_without_a_result_count_among_those_that_do_not_attain():
    lost = [rows("m", [(1, np.nan, np.nan, np.nan)], seed=seed, status="failed") for seed in (1, 2)]
    marks = collect_marks(frame(DENSE, rows("m", [(1, 0.9, 0.8, 0.5)], seed=0), *lost), "param_sparsity")
    assert set(marks.mark[marks.label == "m"]) == {"trial", "attained by one"}


def test_points_off_the_validation_front_are_behind_no_corner():
    marks = collect_marks(frame(rows("m", [(1, 0.9, 0.8, 0.5), (2, 0.8, 0.8, 0.5)])), "param_sparsity")
    assert set(marks.key[marks.mark != "trial"]) == {"m-0-0"}
