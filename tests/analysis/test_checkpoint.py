"""What a comparison says of a study whose networks start from a checkpoint."""

import pytest

from benchmark.analysis import fairness
from benchmark.analysis.fairness_methods import CHECKPOINT_RULE
from benchmark.analysis.frame import as_frame
from benchmark.analysis.summary import shared_range, summarise
from benchmark.analysis.tuning import chosen, resolved, stages
from benchmark.errors import UsageError
from benchmark.experiment.study import load_study
from tests.support.made_records import result
from tests.support.own_study import STUDY, write_own
from tests.support.tuned_study import tune

EPOCHS = "The same total epochs for every method"
POINTS = "As many points for every method"
TUNED = "Tuned by one rule"
SWEPT = STUDY.replace("ratio = 0.5", "ratio = [0.25, 0.75]")
TUNING = """
[tuning]
seed = 100

[tuning.candidates]
checkpoint = [{}]
dense = [{ learning_rate = 0.02 }, { learning_rate = 0.01 }]
scratch = [{ learning_rate = 0.1 }, { learning_rate = 0.05 }]
magnitude_filter = [{ learning_rate = 0.1 }, { learning_rate = 0.01 }]
"""


@pytest.fixture
def study(tmp_path):
    return load_study(str(write_own(tmp_path, SWEPT)))


def made(trial, **fields):
    epochs = 0 if trial.label.startswith("checkpoint") else 4 - trial.stages[0]
    ratio = trial.setting.hyperparameters.get("ratio", 0.0)
    history = {"loss": [0.5] * epochs, "val_accuracy": [0.9] * epochs}
    stages = {"checkpoint": 0.875, "trained": 0.9, "reduced": 0.9}
    return result(trial, **{"history": history, "stage_accuracy": stages, "param_sparsity": ratio, **fields})


def findings(study, records, tuning=None):
    return {finding.rule: finding for finding in fairness.check(study, records, tuning)}


def test_the_checkpoint_itself_takes_no_epochs_and_has_no_points_and_neither_is_held_against_the_rest(study):
    found = findings(study, [made(trial) for trial in study.trials()])
    assert (found[EPOCHS].met, found[POINTS].met) == ("yes", "yes")
    assert "2 knob points for each of 2 methods" in found[POINTS].evidence
    assert found[CHECKPOINT_RULE].met == "n.a."
    assert "what trained.pt on npz:signals.npz was trained on" in found[CHECKPOINT_RULE].evidence
    assert "npz-signals-my_nets-build-from-trained: 87.50 %" in found[CHECKPOINT_RULE].evidence


def test_another_method_that_trains_for_fewer_epochs_is_still_seen(study):
    short = {"history": {"loss": [0.5], "val_accuracy": [0.9]}}
    records = [made(t, **(short if t.label == "dense" else {})) for t in study.trials()]
    assert findings(study, records)[EPOCHS].met == "no"


def test_studies_without_a_checkpoint_have_no_rule_of_it(tiny):
    study = load_study(str(tiny))
    assert CHECKPOINT_RULE not in findings(study, [result(trial) for trial in study.trials()])


def test_the_checkpoint_does_not_narrow_the_range_that_methods_share(study):
    frame = as_frame([made(t) for t in study.trials()], {label: study.legend(label) for label in study.tables})
    assert shared_range(frame) == (0.25, 0.75)
    assert set(summarise(frame).method) == {"Dense", "From scratch", "Checkpoint", "Filter magnitude + fine-tune"}


def test_tuning_chooses_for_all_but_the_checkpoint_and_nobody_starts_from_dense(tmp_path):
    study = load_study(str(write_own(tmp_path, SWEPT + TUNING)))
    records = tune(study, stages, made)
    picked = chosen(study, records)
    assert picked["checkpoint"].values == {}
    plan = resolved(study, records)
    assert all(trial.base is None for trial in plan.trials())
    evaluated = [made(trial) for trial in plan.trials()]
    assert findings(plan, evaluated, study.tuning)[TUNED].met == "yes"
    text = (SWEPT + TUNING).replace(", { learning_rate = 0.05 }", "")
    with pytest.raises(UsageError, match=r"has 2 for 'dense' and 1 for 'scratch'"):
        load_study(str(write_own(tmp_path, text)))


def test_a_checkpoint_is_nothing_to_sample_or_to_fine_tune(tmp_path):
    text = SWEPT.replace("seeds =", 'sampler = "random"\nsamples = 2\nseeds =')
    with pytest.raises(UsageError, match=r"\[methods\.checkpoint\] has nothing to sample"):
        load_study(str(write_own(tmp_path, text)))
    text = SWEPT.replace("[methods.checkpoint]", "[methods.checkpoint]\nfine_tune = true")
    with pytest.raises(UsageError, match=r"\[methods\.checkpoint\] is a network as it came, and cannot fine-tune"):
        load_study(str(write_own(tmp_path, text)))
