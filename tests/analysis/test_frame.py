import json

import numpy as np
import pytest

from benchmark.analysis.frame import as_frame, best, controls, controls_first, ranked
from benchmark.experiment.study import load_study
from tests.support.frames import DENSE, NAN, frame, rows
from tests.support.made_records import failure, result

MEASURED = {
    "val_accuracy": 0.91,
    "test_accuracy": 0.82,
    "param_sparsity": 0.11,
    "mac_sparsity": 0.22,
    "channel_sparsity": 0.33,
    "weight_sparsity": 0.44,
    "params": 55,
    "macs": 66,
    "never_active": 0.77,
    "removal_error": 8e-16,
}


@pytest.fixture
def trials(tiny):
    return load_study(str(tiny)).trials()


def of(trials, label):
    """The first trial of a label with the larger knob."""
    return [t for t in trials if t.label == label and t.seed == 0][-1]


def test_a_row_holds_what_its_record_says(trials):
    trial = of(trials, "implicit")
    own = {"channels_left": {"0": 3}, "train_seconds": 5.0, "stage_accuracy": {"trained": 0.96, "silenced": 0.9}}
    made = as_frame([result(trial, **MEASURED, **own, base_seconds=2.5)], {"implicit": "Adam"})
    names = {"key": trial.key, "task": "simulated-mlp-8", "label": "implicit", "title": "Adam", "status": "ok"}
    knob = {"seed": 0.0, "knob_name": "strength", "knob": 0.1, "error": ""}
    texts = {"hyperparameters": made.hyperparameters[0], "channels_left": '{"0": 3}'}
    expected = {
        **names,
        **knob,
        **texts,
        **MEASURED,
        "seconds": 7.5,
        "trained_accuracy": 0.96,
        "silenced_accuracy": 0.9,
    }
    row = made.iloc[0]
    assert row[["reduced_accuracy", "fine_tuned_accuracy"]].isna().all()
    assert row.drop(["reduced_accuracy", "fine_tuned_accuracy"]).to_dict() == expected
    told = json.loads(made.hyperparameters[0])
    assert told == trial.setting.hyperparameters
    assert list(told) == sorted(told)
    assert all(isinstance(made[name][0], float) for name in (*MEASURED, "knob", "seconds"))


def test_without_base_or_knob_a_row_has_none(trials):
    made = as_frame([result(of(trials, "dense"), train_seconds=5.0)], {"dense": "Dense"})
    assert made.seconds[0] == 5.0
    assert made.knob_name[0] == ""
    assert np.isnan(made.knob[0])


def test_a_failed_trial_has_no_number_but_says_why(trials):
    made = as_frame([failure(of(trials, "implicit"), train_seconds=5.0)], {"implicit": "Adam"})
    assert (made.status[0], made.error[0], made.channels_left[0]) == ("failed", "no luck", "{}")
    assert made[[*MEASURED, "seconds"]].isna().all(axis=None)


def test_a_result_whose_training_was_not_timed_has_no_seconds(trials):
    assert np.isnan(as_frame([result(of(trials, "dense"))], {"dense": "Dense"}).seconds[0])


def test_rows_stand_in_the_order_of_titles_seeds_and_knobs_controls_first(trials):
    records = sorted((result(t) for t in trials), key=lambda r: r.key)
    made = as_frame(records, {"magnitude_filter": "M", "implicit": "I", "dense": "D"})
    assert list(made.label) == ["dense"] * 2 + ["magnitude_filter"] * 4 + ["implicit"] * 4
    assert list(made.seed) == [0, 1] + [0, 0, 1, 1] * 2
    assert list(made.knob[2:]) == [0.25, 0.75] * 2 + [0.001, 0.1] * 2
    assert controls_first(["a", "random_filter", "b", "scratch", "dense"]) == [
        "dense",
        "scratch",
        "random_filter",
        "a",
        "b",
    ]


def test_the_best_point_validates_best_then_is_smaller_then_has_the_smaller_knob():
    tied = rows("m", [(3, 0.9, 0.1, 0.5), (2, 0.9, 0.2, 0.5), (1, 0.9, 0.3, 0.4), (4, 0.8, 0.4, 0.9)])
    for records in (frame(tied), frame(tied[::-1])):
        assert list(ranked(records).sort_values("rank").knob) == [2, 3, 1, 4]
        assert best(ranked(records)).knob == 2
        assert best(ranked(records)[lambda own: own.knob != 2]).knob == 3
    keyed = [{**row, "key": key} for row, key in zip(tied, "abcd", strict=True)]
    assert list(ranked(frame(keyed))["rank"]) == [1, 0, 2, 3]


def test_a_control_is_of_its_task_and_seed_and_has_a_result():
    other = rows("dense", [(NAN, 0.99, 0.5, 0.0)], seed=0, task="u")
    failed = rows("dense", [(NAN, 0.999, 0.1, 0.0)], seed=1, status="failed")
    found = controls(frame(DENSE, other, failed, rows("m", [(1, 1.0, 1.0, 0.0)])))
    assert sorted(zip(found.task, found.seed, found.test_accuracy, strict=True)) == [
        ("t", 0, 0.94),
        ("t", 1, 0.96),
        ("u", 0, 0.5),
    ]
