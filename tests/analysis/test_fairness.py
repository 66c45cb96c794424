from pathlib import Path

import pytest

from benchmark.analysis import fairness
from benchmark.experiment.coverage import own_records
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from tests.conftest import TINY
from tests.support.made_records import PROVENANCE, failure, result

CONTROL = "A dense control for every task and seed"
SEEDS = "The same seeds for every method"
EPOCHS = "The same total epochs for every method"
POINTS = "As many points for every method"
VALIDATION = "λ, learning rate, ξ and epoch chosen on validation only"
THREE = "At least three seeds with a result"
COMPLETE = "Every trial has a record, failures are counted"
PROOF = "Every removal is proven exact"
FILLED = "No missing point is filled in"
CODE = "One version of the code"
DATA = "One content of each dataset"
MACHINE = "One kind of hardware"
KEYS = "Every record is of the trial that its key names"
REDUCED = "Every reduced network is measured"


def made(folder: Path, text: str = TINY.replace("[0, 1]", "[0, 1, 2]")):
    path = folder / "tiny.toml"
    path.write_text(text)
    return load_study(str(path))


@pytest.fixture
def study(tmp_path):
    return made(tmp_path)


def findings(study, records):
    return {f.rule: f for f in fairness.check(study, records)}


def broken(study, records):
    return {rule for rule, finding in findings(study, records).items() if finding.met == "no"}


def with_first(study, label, **fields):
    """All records, the first of a method changed."""
    records = [result(trial) for trial in study.trials()]
    place = next(i for i, r in enumerate(records) if r.label == label)
    records[place] = records[place].model_copy(update=fields)
    return records


def test_a_study_that_meets_every_rule(study):
    found = findings(study, [result(trial) for trial in study.trials()])
    assert set(found) == {
        CONTROL, SEEDS, EPOCHS, POINTS, VALIDATION, THREE, COMPLETE, PROOF, FILLED, CODE, DATA, MACHINE, KEYS, REDUCED,
    }  # fmt: skip
    assert {rule: f.met for rule, f in found.items()} == dict.fromkeys(found, "yes")
    assert "15 of 15 results took 4 epochs" in found[EPOCHS].evidence
    assert "6 of them spent a part in a base network" in found[EPOCHS].evidence
    assert "2 knob points for each of 2 methods" in found[POINTS].evidence
    assert "15 of 15 trials have a record: 15 ok" in found[COMPLETE].evidence
    assert "2.0e-15" in found[PROOF].evidence
    assert "beside the knob, in a way no record shows: nothing" in found[VALIDATION].evidence


def test_without_records_nothing_applies(study):
    assert {f.met for f in fairness.check(study, [])} == {"n.a."}


def test_failures_are_counted_and_are_no_results(study):
    records = [failure(t) if t.label == "implicit" and t.seed == 2 else result(t) for t in study.trials()]
    found = findings(study, records)
    assert broken(study, records) == {THREE}
    assert "13 ok, 2 failed (failed: implicit on simulated-mlp-8, seed 2" in found[COMPLETE].evidence
    assert "2 of 15 points have no result" in found[FILLED].evidence
    assert "implicit on simulated-mlp-8 has 2" in found[THREE].evidence
    every = [failure(t) for t in study.trials()]
    assert findings(study, every)[PROOF].met == "n.a."
    assert broken(study, every) == {CONTROL, THREE}


@pytest.mark.parametrize(
    ("rule", "label", "fields", "words"),
    [
        (EPOCHS, "implicit", {"history": {"loss": [0.5] * 3}}, "14 of 15 results took 4 epochs"),
        (EPOCHS, "magnitude_filter", {"history": {"loss": [0.5] * 4}}, "seed 0, record"),
        (VALIDATION, "implicit", {"history": {"loss": [0.5] * 4, "test_accuracy": [0.9] * 4}}, "test in test_accuracy"),
        (VALIDATION, "implicit", {"val_accuracy": 0.95}, "not the last epoch's network"),
        (
            VALIDATION,
            "implicit",
            {"history": {"loss": [0.5] * 4, "val_accuracy": [0.7, 0.7, 0.7, 0.6]}},
            "14 of 15 results are of the last epoch's network",
        ),
        (PROOF, "implicit", {"removal_error": None}, "14 of 15 results hold it"),
        (PROOF, "implicit", {"removal_error": 2e-6}, "2.0e-06, limit 1e-06; implicit on"),
        (PROOF, "implicit", {"removal_error": float("nan")}, "implicit on"),
        (FILLED, "implicit", {"mac_sparsity": None}, "lacks mac_sparsity"),
        (CODE, "implicit", {"provenance": {**PROVENANCE, "commit": "b" * 40}}, "2 commits: aaaaaaaaaa (14 records)"),
        (CODE, "implicit", {"provenance": {**PROVENANCE, "dirty": True}}, "1 records of a changed checkout"),
        (CODE, "implicit", {"provenance": {**PROVENANCE, "torch": "3"}}, "torch 3"),
        (DATA, "implicit", {"provenance": {**PROVENANCE, "data": "ab"}}, "simulated: ab and not noted"),
        (MACHINE, "implicit", {"provenance": {**PROVENANCE, "cpu": "Other"}}, "2 kinds of hardware"),
        (REDUCED, "implicit", {"latency": {}}, "dense one's in 14"),
        (REDUCED, "implicit", {"macs": None}, "counted on the reduced network in 14 of 15"),
        (KEYS, "implicit", {"key": "0" * 64}, "14 of 15 keys"),
    ],
)
def test_a_record_that_breaks_one_rule_is_flagged(study, rule, label, fields, words):
    records = with_first(study, label, **fields)
    assert broken(study, records) == {rule}
    assert words in findings(study, records)[rule].evidence


def test_records_of_another_protocol_are_flagged(study):
    other = study.protocol.model_copy(update={"batch_size": 32})
    records = with_first(study, "implicit", protocol=other)
    assert broken(study, records) == {EPOCHS, KEYS}
    assert "another protocol" in findings(study, records)[EPOCHS].evidence


def test_no_numbers_may_stand_in_for_a_failed_trial(study):
    trials = study.trials()
    records = [result(t) for t in trials[:-1]] + [failure(trials[-1], param_sparsity=0.5)]
    assert FILLED in broken(study, records)
    assert "is failed but has a param_sparsity" in findings(study, records)[FILLED].evidence


def test_points_that_no_method_has_yet_are_no_equal_number(study):
    found = findings(study, [result(t) for t in study.trials() if t.label == "dense"])
    assert (found[POINTS].met, found[POINTS].evidence) == ("n.a.", "no method but the control has a record")
    half = [t for t in study.trials() if t.label == "dense" or t in study.trials()[1::2]]
    even = findings(study, [result(t) for t in half if t.setting.hyperparameters.get("ratio") != 0.25])[POINTS]
    assert even.met == "no" or "trials have no record yet" in even.evidence


def test_a_lacking_control_is_flagged_and_so_is_a_false_one(study):
    without = [result(t) for t in study.trials() if (t.label, t.seed) != ("dense", 1)]
    assert broken(study, without) == {CONTROL, SEEDS, THREE, COMPLETE}
    assert "none for simulated-mlp-8, seed 1" in findings(study, without)[CONTROL].evidence
    setting = next(t.setting for t in study.trials() if t.label == "implicit")
    assert broken(study, with_first(study, "dense", setting=setting)) == {CONTROL, KEYS}


def test_a_lacking_seed_and_a_lacking_point_are_flagged(study):
    trials = study.trials()
    seedless = [result(t) for t in trials if (t.label, t.seed) != ("implicit", 2)]
    assert broken(study, seedless) == {SEEDS, POINTS, THREE, COMPLETE}
    assert "implicit on simulated-mlp-8 has no seed 2" in findings(study, seedless)[SEEDS].evidence
    pointless = [result(t) for t in trials[:-1]]
    assert broken(study, pointless) == {POINTS, COMPLETE}
    found = findings(study, pointless)
    assert "14 of 15 trials" in found[COMPLETE].evidence
    assert "magnitude_filter on simulated-mlp-8, seed 2: 1" in found[POINTS].evidence


def test_uneven_grids_two_seeds_and_hand_set_values_are_told(tmp_path):
    study = made(tmp_path, TINY.replace("[0.25, 0.75]", "[0.25, 0.5, 0.75]\nlearning_rate = 0.02"))
    records = [result(t) for t in study.trials()]
    assert broken(study, records) == {POINTS, THREE}
    assert "magnitude_filter: learning_rate" in findings(study, records)[VALIDATION].evidence


def test_the_published_studies_hold_what_they_should():
    for name in ("digits", "digits_full", "digits_optimizers"):
        study = load_study(name)
        records = own_records(study, Store(Path(__file__).parents[2] / "results" / name).load())
        assert broken(study, records) <= {REDUCED, CODE, MACHINE}
