"""What lies on a front while records come in is what lies on it once all have."""

import random

import pytest

from benchmark.analysis.fronts import Fronts
from benchmark.experiment.study import load_study
from tests.support.made_records import failure, result


@pytest.fixture
def trials(tiny):
    return load_study(str(tiny)).trials()


def test_a_dominated_record_leaves_the_front_and_a_failed_one_is_on_none(trials):
    mine = [trial for trial in trials if trial.label == "implicit" and trial.seed == 0]
    weak = result(mine[0], param_sparsity=0.5, val_accuracy=0.8)
    strong = result(mine[1], param_sparsity=0.6, val_accuracy=0.8)
    fronts = Fronts([weak])
    assert fronts.keys == {weak.key}
    assert fronts.add(strong) == {weak.key}
    assert fronts.keys == {strong.key}
    assert fronts.add(failure(mine[0])) == {weak.key}


def test_fronts_are_of_one_label_and_seed_and_equal_points_stay(trials):
    records = [result(trial) for trial in trials]
    assert Fronts(records).keys == {record.key for record in records}
    better = result(trials[0], param_sparsity=0.9, val_accuracy=1.0)
    assert Fronts([*records, better]).keys == {record.key for record in records}


def test_the_order_of_records_does_not_matter(trials):
    draw = random.Random(0)
    mine = [t for t in trials if t.label != "dense"]
    records = [result(t, param_sparsity=draw.random(), val_accuracy=draw.random()) for t in mine]
    fronts = Fronts([])
    for record in records:
        fronts.add(record)
    assert fronts.keys == Fronts(records[::-1]).keys
    assert 0 < len(fronts.keys) <= len(records)
