"""Trials that fail, diverge or have no base: what becomes of them."""

import itertools

import pytest

from benchmark.experiment.record import Record
from benchmark.experiment.store import Store
from benchmark.method.registry import get_method
from benchmark.runner.environment import software
from benchmark.runner.in_process import Destination, Resources, run_in_process
from tests.runner.test_trial import STEPS, make, result


@pytest.mark.parametrize(
    ("method", "status", "words"),
    [
        ("raises", "failed", "RuntimeError: deliberate (faulty.py"),
        ("diverges", "diverged", "loss nan in epoch 1"),
        ("prunes_all", "collapsed", None),
    ],
)
def test_bad_endings_are_records(faulty_methods, method, status, words):
    record = result(method)
    assert record.status == status
    if words:
        assert words in record.error
        assert "\n" not in record.error
    else:
        assert record.channels_left == {"1": 1}
        assert record.test_accuracy < 0.5
    assert Record.model_validate_json(record.model_dump_json(exclude_defaults=True)) == record


def test_a_trial_that_fails_keeps_what_it_reached(monkeypatch):
    def silence(self, net, images, labels):
        raise RuntimeError("no")

    whole = result("implicit")
    monkeypatch.setattr(get_method("implicit"), "silence", silence)
    record = result("implicit")
    assert record.status == "failed"
    assert record.history == whole.history
    assert record.stage_accuracy == {"trained": whole.stage_accuracy["trained"]}
    assert record.threshold_sweep == whole.threshold_sweep
    assert record.train_seconds > 0
    assert record.params is record.val_accuracy is record.removal_error is None


def test_a_trial_that_diverges_keeps_the_epochs_before(monkeypatch):
    def after_step(self, net, lr):
        if next(steps) == 2 * STEPS:  # in the middle of the third epoch
            net.weights[-1].data.fill_(float("nan"))

    whole = result("implicit")
    steps = itertools.count(-STEPS // 2)
    monkeypatch.setattr(get_method("implicit"), "after_step", after_step)
    record = result("implicit")
    assert (record.status, record.error) == ("diverged", "loss nan in epoch 3")
    assert record.history == {name: values[:2] for name, values in whole.history.items()}
    assert record.stage_accuracy == {}


def test_trials_whose_base_failed_are_skipped(faulty_methods, tmp_path):
    diverging = make("diverges").setting
    trial = make("magnitude_filter").model_copy(update={"base": diverging})
    records = []
    run_in_process([trial], Resources(), Destination(Store(tmp_path), records.append))
    assert records[0].status == "skipped"
    assert "DivergedError: loss nan" in records[0].error
    assert records[0].created
    assert records[0].provenance == software()
    assert not list(tmp_path.iterdir())
