import json

import numpy as np
import pytest

from benchmark.analysis.frame import as_frame, controls
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
    own = {"latency": {"dense": 4.0, "reduced": 1.0}, "channels_left": {"0": 3}, "train_seconds": 5.0}
    made = as_frame([result(trial, **MEASURED, **own, base_seconds=2.5)], {"implicit": "Adam"})
    names = {"key": trial.key, "task": "simulated-mlp-8", "label": "implicit", "title": "Adam", "status": "ok"}
    knob = {"seed": 0.0, "knob_name": "strength", "knob": 0.1, "error": ""}
    texts = {"hyperparameters": made.hyperparameters[0], "channels_left": '{"0": 3}'}
    expected = {**names, **knob, **texts, **MEASURED, "latency_saved": 0.75, "seconds": 7.5}
    assert made.iloc[0].to_dict() == expected
    told = json.loads(made.hyperparameters[0])
    assert told == trial.setting.hyperparameters
    assert list(told) == sorted(told)
    assert all(isinstance(made[name][0], float) for name in (*MEASURED, "knob", "latency_saved", "seconds"))


def test_without_base_knob_or_latency_a_row_has_none(trials):
    made = as_frame([result(of(trials, "dense"), latency={}, train_seconds=5.0)], {"dense": "Dense"})
    assert made.seconds[0] == 5.0
    assert made.knob_name[0] == ""
    assert made[["knob", "latency_saved"]].isna().all(axis=None)


def test_a_failed_trial_has_no_number_but_says_why(trials):
    made = as_frame([failure(of(trials, "implicit"), train_seconds=5.0)], {"implicit": "Adam"})
    assert (made.status[0], made.error[0], made.channels_left[0]) == ("failed", "no luck", "{}")
    assert made[[*MEASURED, "latency_saved", "seconds"]].isna().all(axis=None)


def test_a_result_whose_training_was_not_timed_has_no_seconds(trials):
    assert np.isnan(as_frame([result(of(trials, "dense"))], {"dense": "Dense"}).seconds[0])


def test_rows_stand_in_the_order_of_titles_seeds_and_knobs(trials):
    records = sorted((result(t) for t in trials), key=lambda r: r.key)
    made = as_frame(records, {"magnitude_filter": "M", "implicit": "I", "dense": "D"})
    assert list(made.label) == ["magnitude_filter"] * 4 + ["implicit"] * 4 + ["dense"] * 2
    assert list(made.seed) == [0, 0, 1, 1] * 2 + [0, 1]
    assert list(made.knob[:8]) == [0.25, 0.75] * 2 + [0.001, 0.1] * 2


def test_a_control_is_of_its_task_and_seed_and_has_a_result():
    other = rows("dense", [(NAN, 0.99, 0.5, 0.0)], seed=0, task="u")
    failed = rows("dense", [(NAN, 0.999, 0.1, 0.0)], seed=1, status="failed")
    found = controls(frame(DENSE, other, failed, rows("m", [(1, 1.0, 1.0, 0.0)])))
    assert sorted(zip(found.task, found.seed, found.test_accuracy, strict=True)) == [
        ("t", 0, 0.94),
        ("t", 1, 0.96),
        ("u", 0, 0.5),
    ]
