from pathlib import Path

import pytest

from benchmark.analysis import fairness
from benchmark.experiment.study import load_study
from tests.conftest import TINY
from tests.support.made_records import PROVENANCE, failure, result

CONTROL = "Controls: dense, scratch, random channels"
MARKED = "Fine-tuning is marked"
XI = "ξ by one rule"
SEEDS = "The same seeds for every method"
EPOCHS = "The same total epochs for every method"
POINTS = "As many points for every method"
VALIDATION = "λ, learning rate, ξ and epoch chosen on validation only"
TEN = "Seeds: 10 where a claim is made"
COMPLETE = "Every trial has a record, failures are counted"
PROOF = "Every removal is proven exact"
FILLED = "No missing point is filled in"
CODE = "One version of the code"
DATA = "One content of each dataset"
MACHINE = "One kind of hardware"
KEYS = "Every record is of the trial that its key names"
REDUCED = "Every reduced network is measured"
TUNED = "Tuned by one rule"
LACKS = {CONTROL, TUNED, TEN}  # what the study of these tests does not have: scratch, tuning, ten seeds


def made(folder: Path, text: str = TINY.replace("[0, 1]", "[0, 1, 2]")):
    path = folder / "tiny.toml"
    path.write_text(text)
    return load_study(str(path))


def findings(study, records):
    return {f.rule: f for f in fairness.check(study, records)}


def broken(study, records):
    """The rules that are not met beside those that the study as such does not meet."""
    return {rule for rule, finding in findings(study, records).items() if finding.met == "no"} - LACKS


def with_first(study, label, **fields):
    """All records, the first of a method changed."""
    records = [result(trial) for trial in study.trials()]
    place = next(i for i, r in enumerate(records) if r.label == label)
    records[place] = records[place].model_copy(update=fields)
    return records


def test_a_study_that_meets_every_other_rule(study):
    found = findings(study, [result(trial) for trial in study.trials()])
    assert set(found) == LACKS | {
        MARKED, XI, SEEDS, EPOCHS, POINTS, VALIDATION, COMPLETE, PROOF, FILLED, CODE, DATA, MACHINE, KEYS, REDUCED,
    }  # fmt: skip
    assert {rule: f.met for rule, f in found.items() if rule not in LACKS} == dict.fromkeys(set(found) - LACKS, "yes")
    assert "15 of 15 results took 4 epochs" in found[EPOCHS].evidence
    assert "6 of them spent a part in a base network" in found[EPOCHS].evidence
    assert "2 knob points for each of 2 methods" in found[POINTS].evidence
    assert "15 of 15 trials have a record: 15 ok" in found[COMPLETE].evidence
    assert "2.0e-15" in found[PROOF].evidence
    assert "beside the knob, in a way no record shows: nothing" in found[VALIDATION].evidence


def test_the_evidence_of_a_study_that_meets_every_rule_says_what_was_counted(study):
    found = findings(study, [result(trial) for trial in study.trials()])
    assert {rule: f.evidence for rule, f in found.items()} == {
        CONTROL: "dense: 3 of 3 pairs of task and seed; scratch: not in the study; random_filter: not in the study",
        TUNED: "no [tuning] in the study's file: what is set beside the knob was not tried by a rule",
        MARKED: "fine-tune: none; do not: implicit, magnitude_filter",
        XI: "by the rule: none; fixed: implicit 1e-15 (the paper's own: implicit)",
        SEEDS: "3 of 3 pairs of task and method have seeds 0, 1, 2; initial weights and data order are drawn from the "
        "seed alone",
        EPOCHS: "15 of 15 results took 4 epochs, counted from their histories; 6 of them spent a part in a base "
        "network that several trials share",
        POINTS: "2 knob points for each of 2 methods, on every task and with every seed",
        VALIDATION: "15 of 15 results are of the last epoch's network: no epoch was picked; 15 hold validation "
        "accuracies only, but for one test accuracy of the final network. The sampler (grid), fronts and best points "
        "see validation only. Fixed by the study's file beside the knob, in a way no record shows: nothing",
        TEN: "the study has 3; fewest with a result: 3; dense on simulated-mlp-8 has 3; implicit on simulated-mlp-8 "
        "has 3; magnitude_filter on simulated-mlp-8 has 3",
        COMPLETE: "15 of 15 trials have a record: 15 ok",
        PROOF: "15 of 15 results hold it; largest relative difference of a logit 2.0e-15, limit 1e-06",
        FILLED: "0 of 15 points have no result and none is put in their place; 15 are drawn where they were measured, "
        "joined by steps",
        CODE: "1 commit: aaaaaaaaaa (15 records); 0 records of a changed checkout; torch 2, numpy 2, Python 3.12",
        DATA: "simulated: not noted",
        MACHINE: "1 kind of hardware: cpu, Some, threads: 1 (15 results)",
        KEYS: "15 of 15 keys are the hash of what their record says was run",
        REDUCED: "parameters and multiply-accumulates counted on the reduced network in 15 of 15 results",
    }


def test_without_records_nothing_applies(study):
    assert {f.met for f in fairness.check(study, [])} == {"n.a."}
    assert {f.evidence for f in fairness.check(study, [])} == {"no records"}


def test_without_a_result_rules_of_results_do_not_apply(study):
    found = findings(study, [failure(t) for t in study.trials()])
    none = {rule: f.evidence for rule, f in found.items() if f.met == "n.a."}
    assert none == dict.fromkeys((MARKED, EPOCHS, VALIDATION, PROOF, MACHINE, REDUCED), "no record with a result") | {
        XI: "no method has a ξ"
    }
    assert (found[DATA].met, found[DATA].evidence) == ("yes", "no record with a result")


def test_an_offender_is_named_by_method_task_seed_and_key(study):
    records = with_first(study, "implicit", removal_error=2e-6)
    [record] = [r for r in records if r.removal_error == 2e-6]
    named = f"; implicit on simulated-mlp-8, seed 0, record {record.key[:8]}"
    assert findings(study, records)[PROOF].evidence.endswith(f"limit 1e-06{named}")


def test_three_offenders_are_named_and_the_others_counted(study):
    records = [result(t, removal_error=1.0 if t.label == "implicit" else 1e-6) for t in study.trials()]
    evidence = findings(study, records)[PROOF].evidence
    assert evidence.count("implicit on") == 3
    assert evidence.endswith(" and 3 more")
    three = [
        r.model_copy(update={"removal_error": float(r.setting.hyperparameters.get("strength") == 0.1)}) for r in records
    ]
    evidence = findings(study, three)[PROOF].evidence
    assert evidence.count("implicit on") == 3
    assert "more" not in evidence


def test_a_proof_at_the_limit_holds(study):
    assert broken(study, with_first(study, "implicit", removal_error=1e-6)) == set()


def test_provenance_that_is_not_noted_is_no_proof(study):
    records = with_first(study, "implicit", provenance={})
    found = findings(study, records)
    assert broken(study, records) == {CODE, MACHINE}
    assert "unknown (1 records)" in found[CODE].evidence
    assert "torch None, numpy None, Python None" in found[CODE].evidence
    assert "None, None, threads: None (1 results)" in found[MACHINE].evidence
    bare = [r.model_copy(update={"provenance": {}}) for r in records]
    assert {CODE, MACHINE} <= broken(study, bare)


def test_lacking_seeds_are_all_told(study):
    lone = [result(t) for t in study.trials() if t.seed == 1 or t.label != "implicit"]
    told = findings(study, lone)
    assert told[SEEDS].evidence.endswith("seed alone; implicit on simulated-mlp-8 has no seed 0, 2")
    assert told[SEEDS].evidence.startswith("2 of 3 pairs")
    assert (
        "fewest with a result: 1; dense on simulated-mlp-8 has 3; implicit on simulated-mlp-8 has 1"
        in told[TEN].evidence
    )
    without = [result(t) for t in study.trials() if t.label != "dense" or t.seed == 1]
    assert findings(study, without)[CONTROL].evidence.startswith(
        "dense: 1 of 3 pairs of task and seed, none for simulated-mlp-8, seed 0; simulated-mlp-8, seed 2; scratch: not"
    )


def test_two_names_of_test_numbers_and_of_hand_set_values_are_both_told(tmp_path, study):
    history = {"loss": [0.5] * 4, "test_loss": [1.0], "test_accuracy": [0.9], "val_accuracy": [0.9] * 4}
    evidence = findings(study, with_first(study, "implicit", history=history))[VALIDATION].evidence
    assert "14 hold validation accuracies only" in evidence
    assert evidence.endswith(": test in test_loss, test_accuracy")
    text = TINY.replace("[0.001, 0.1]", "[0.001, 0.1]\nlearning_rate = 0.1\nthreshold = 1e-3")
    by_hand = made(tmp_path, text.replace("[0.25, 0.75]", "[0.25, 0.75]\nlearning_rate = 0.1"))
    evidence = findings(by_hand, [result(t) for t in by_hand.trials()])[VALIDATION].evidence
    assert evidence.endswith("shows: implicit: learning_rate, threshold; magnitude_filter: learning_rate")


def test_every_dataset_is_told(tmp_path):
    digits = '[[tasks]]\ndataset = "digits"\nnetwork = "mlp"\n\n[methods.dense]'
    study = made(tmp_path, TINY.replace("[methods.dense]", digits))
    found = findings(study, [result(t) for t in study.trials()])
    assert found[DATA].evidence == "simulated: not noted; digits: not noted"


def test_samples_are_no_knob_points(tmp_path):
    study = made(tmp_path, TINY.replace("seeds =", 'sampler = "random"\nsamples = 3\nseeds ='))
    found = findings(study, [result(t) for t in study.trials()])
    assert found[POINTS].evidence.startswith("3 samples (random) for each of 2 methods")
    assert "The sampler (random)" in found[VALIDATION].evidence


def test_a_study_of_the_control_alone_has_no_points(tmp_path):
    study = made(tmp_path, TINY.partition("[methods.implicit]")[0])
    found = findings(study, [result(t) for t in study.trials()])[POINTS]
    assert (found.met, found.evidence) == ("n.a.", "no method but the control")


def test_a_method_with_too_few_points_is_told_beside_what_most_have(study):
    pointless = [result(t) for t in study.trials()[:-1]]
    assert findings(study, pointless)[POINTS].evidence == (
        "2 knob points for 5 of 6 method, task and seed; magnitude_filter on simulated-mlp-8, seed 2: 1"
    )


def test_histories_in_single_precision_end_in_the_networks_accuracy(study):
    def with_last(value):
        return with_first(study, "implicit", history={"loss": [0.5] * 4, "val_accuracy": [0.1, 0.2, 0.3, value]})

    assert broken(study, with_last(0.9 + 9e-7)) == set()
    assert broken(study, with_last(0.9 + 2e-6)) == {VALIDATION}


def test_after_fine_tuning_its_accuracy_and_not_that_before_counts(study):
    stages = {"trained": 0.5, "reduced": 0.5, "fine_tuned": 0.9}
    assert VALIDATION not in broken(study, with_first(study, "implicit", stage_accuracy=stages))
    swapped = {"fine_tuned": 0.5, "reduced": 0.9}
    assert VALIDATION in broken(study, with_first(study, "implicit", stage_accuracy=swapped))
    assert broken(study, with_first(study, "implicit", stage_accuracy={})) == {VALIDATION}
    assert broken(study, with_first(study, "implicit", stage_accuracy={"reduced": 0.9})) == {VALIDATION}


def test_a_diverged_trial_is_finished_and_no_result(study):
    trials = study.trials()
    records = [result(t) for t in trials[:-1]] + [failure(trials[-1]).model_copy(update={"status": "diverged"})]
    assert findings(study, records)[COMPLETE].evidence == "15 of 15 trials have a record: 14 ok, 1 diverged"
    assert COMPLETE not in broken(study, records)


def test_failures_are_counted_and_are_no_results(study):
    records = [failure(t) if t.label == "implicit" and t.seed == 2 else result(t) for t in study.trials()]
    found = findings(study, records)
    assert broken(study, records) == set()
    assert "13 ok, 2 failed (failed: implicit on simulated-mlp-8, seed 2" in found[COMPLETE].evidence
    assert "2 of 15 points have no result" in found[FILLED].evidence
    assert "implicit on simulated-mlp-8 has 2" in found[TEN].evidence
    every = [failure(t) for t in study.trials()]
    assert findings(study, every)[PROOF].met == "n.a."
    assert broken(study, every) == set()


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
        (
            CODE,
            "implicit",
            {"provenance": {**PROVENANCE, "commit": "b" * 40}},
            "2 commits: aaaaaaaaaa (14 records), bbbbbbbbbb (1 records)",
        ),
        (CODE, "implicit", {"provenance": {**PROVENANCE, "dirty": True}}, "1 records of a changed checkout"),
        (CODE, "implicit", {"provenance": {**PROVENANCE, "torch": "3"}}, "torch 2, numpy 2, Python 3.12; torch 3, "),
        (DATA, "implicit", {"provenance": {**PROVENANCE, "data": "ab"}}, "simulated: ab and not noted"),
        (MACHINE, "implicit", {"provenance": {**PROVENANCE, "cpu": "Other"}}, "2 kinds of hardware"),
        (REDUCED, "implicit", {"macs": None}, "counted on the reduced network in 14 of 15"),
        (KEYS, "implicit", {"key": "0" * 64}, "was run; implicit on simulated-mlp-8, seed 0, record 00000000"),
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
