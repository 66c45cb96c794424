"""What the checklist says of lacking trials, and of the studies that are published."""

from pathlib import Path

from benchmark.analysis.fairness_methods import thresholds
from benchmark.analysis.tuning import resolved
from benchmark.experiment.coverage import own_records
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from benchmark.method.domains import RULE
from benchmark.runner.threshold import TRIED
from tests.analysis.test_fairness import (
    CODE,
    COMPLETE,
    CONTROL,
    KEYS,
    MACHINE,
    MARKED,
    POINTS,
    REDUCED,
    SEEDS,
    VALIDATION,
    XI,
    broken,
    findings,
    made,
    with_first,
)
from tests.conftest import TINY
from tests.support.made_records import result


def test_a_lacking_control_is_flagged_and_so_is_a_false_one(study):
    without = [result(t) for t in study.trials() if (t.label, t.seed) != ("dense", 1)]
    assert broken(study, without) == {SEEDS, COMPLETE}
    assert "none for simulated-mlp-8, seed 1" in findings(study, without)[CONTROL].evidence
    setting = next(t.setting for t in study.trials() if t.label == "implicit")
    false = with_first(study, "dense", setting=setting)
    assert "none for simulated-mlp-8, seed 0" in findings(study, false)[CONTROL].evidence
    assert broken(study, false) == {KEYS}


def test_a_lacking_seed_and_a_lacking_point_are_flagged(study):
    trials = study.trials()
    seedless = [result(t) for t in trials if (t.label, t.seed) != ("implicit", 2)]
    assert broken(study, seedless) == {SEEDS, POINTS, COMPLETE}
    assert "implicit on simulated-mlp-8 has no seed 2" in findings(study, seedless)[SEEDS].evidence
    pointless = [result(t) for t in trials[:-1]]
    assert broken(study, pointless) == {POINTS, COMPLETE}
    found = findings(study, pointless)
    assert "14 of 15 trials" in found[COMPLETE].evidence
    assert "magnitude_filter on simulated-mlp-8, seed 2: 1" in found[POINTS].evidence


def test_uneven_grids_two_seeds_and_hand_set_values_are_told(tmp_path):
    study = made(tmp_path, TINY.replace("[0.25, 0.75]", "[0.25, 0.5, 0.75]\nlearning_rate = 0.02"))
    records = [result(t) for t in study.trials()]
    assert broken(study, records) == {POINTS}
    assert "magnitude_filter: learning_rate" in findings(study, records)[VALIDATION].evidence


def test_the_published_studies_hold_what_they_should():
    for name in ("digits", "digits_optimizers"):
        every = Store(Path(__file__).parents[2] / "results" / name).load()
        study = resolved(load_study(name), every)
        records = own_records(study, every)
        assert broken(study, records) <= {REDUCED, CODE, MACHINE, MARKED, XI}


def test_the_rule_for_thresholds_is_nowhere_cut_short_by_where_its_values_end():
    records = Store(Path(__file__).parents[2] / "results" / "digits").load()
    ruled = [r for r in records if r.setting.hyperparameters.get("threshold") == RULE]
    last = [r for r in ruled if r.threshold == float(TRIED[-1])]
    without = {r.label for r in last if len(set(r.threshold_accuracy.values())) == 1}  # ξ does nothing: zeros are exact
    assert {r.label for r in last} == without
    assert {r.label for r in ruled} - without >= {"implicit", "implicit_fine_tune", "l1_adam", "d_gating"}


def test_a_method_that_ends_in_exact_zeros_is_not_said_to_have_a_threshold():
    every = Store(Path(__file__).parents[2] / "results" / "digits").load()
    study = resolved(load_study("digits"), every)
    fair, evidence = thresholds(study, own_records(study, every))
    ruled = evidence.removeprefix("by the rule: ").split(";")[0].split(", ")
    assert fair
    assert "l1_adam" in ruled
    assert "l1" not in ruled
