"""The rules of controls, fine-tuning, ξ and tuning: what they find and how they say it."""

from benchmark.analysis import fairness
from benchmark.experiment.study import Study
from benchmark.experiment.tuning import Tuning
from benchmark.method.domains import RULE
from tests.analysis.test_fairness import (
    CODE,
    COMPLETE,
    CONTROL,
    MACHINE,
    MARKED,
    POINTS,
    SEEDS,
    TEN,
    TUNED,
    VALIDATION,
    XI,
    findings,
    made,
)
from tests.conftest import TINY
from tests.support.made_records import PROVENANCE, failure, result

ALL = (
    TINY.replace("[0, 1]", str(list(range(10))))
    + """
[methods.scratch]
ratio = [0.25, 0.75]

[methods.random_filter]
ratio = [0.25, 0.75]
"""
)


def met(study, records):
    return {rule: finding.met for rule, finding in findings(study, records).items()}


def test_a_study_with_all_controls_and_ten_seeds_has_them(tmp_path):
    study = made(tmp_path, ALL)
    records = [result(t) for t in study.trials()]
    found = findings(study, records)
    assert (found[CONTROL].met, found[TEN].met) == ("yes", "yes")
    assert found[CONTROL].evidence.count("10 of 10 pairs of task and seed") == 3
    assert found[TEN].evidence == "the study has 10; fewest with a result: 10"
    lost = [failure(t) if (t.label, t.seed) == ("scratch", 4) else result(t) for t in study.trials()]
    found = findings(study, lost)
    assert (found[CONTROL].met, found[TEN].met) == ("no", "no")
    assert "scratch: 9 of 10 pairs of task and seed, none for simulated-mlp-8, seed 4" in found[CONTROL].evidence
    assert found[TEN].evidence.endswith("fewest with a result: 9; scratch on simulated-mlp-8 has 9")


def test_the_seeds_that_a_run_has_come_to_are_judged_by_what_they_have(tmp_path):
    study = made(tmp_path, ALL)
    begun = [result(t) for t in study.trials() if t.seed in (0, 2)]
    found = findings(study, begun)
    assert {rule for rule, finding in found.items() if finding.met == "no"} == {TUNED, TEN, COMPLETE}
    assert found[CONTROL].evidence.count("2 of 2 pairs of task and seed") == 3
    assert "pairs of task and method have seeds 0, 2;" in found[SEEDS].evidence
    assert "methods, with each seed that has a record" in found[POINTS].evidence
    lone = [r for r in begun if (r.label, r.seed) != ("scratch", 2)]
    assert {CONTROL, SEEDS, POINTS} <= {rule for rule, finding in findings(study, lone).items() if finding.met == "no"}


def test_a_control_is_only_what_its_name_says(tmp_path):
    study = made(tmp_path, ALL.replace("[methods.scratch]", '[methods.scratch]\nmethod = "taylor"'))
    assert met(study, [result(t) for t in study.trials()])[CONTROL] == "no"


def test_a_study_of_conditions_needs_the_dense_control_alone(tmp_path):
    conditions = (
        '\n[conditions]\nof = "implicit"\n[conditions.factors.optimizer]\nadam = {}\nsgd = {optimizer = "sgd"}\n'
    )
    text = TINY.partition("[methods.magnitude_filter]")[0].replace("[0.001, 0.1]", "[0.1]") + conditions
    study = made(tmp_path, text)
    found = met(study, [result(t) for t in study.trials()])
    assert (found[CONTROL], found[TUNED]) == ("yes", "n.a.")


def test_a_fine_tuning_method_is_marked_in_its_legend(study, monkeypatch):
    stages = {"trained": 0.9, "reduced": 0.9, "fine_tuned": 0.9}
    records = [result(t, **{"stage_accuracy": stages} if t.label == "implicit" else {}) for t in study.trials()]
    monkeypatch.setattr(Study, "legend", lambda study, label: label)
    found = findings(study, records)[MARKED]
    assert (found.met, found.evidence.endswith("not marked in the legend: implicit")) == ("no", True)
    monkeypatch.setattr(Study, "legend", lambda study, label: f"{label} + fine-tune")
    found = findings(study, records)[MARKED]
    assert (found.met, found.evidence) == ("yes", "fine-tune: implicit; do not: magnitude_filter")


def test_a_threshold_is_by_the_rule_or_the_papers_own(tmp_path):
    study = made(tmp_path, TINY.replace("[0.001, 0.1]", "[0.001, 0.1]\nthreshold = 1e-3"))
    records = [result(t) for t in study.trials()]
    found = findings(study, records)[XI]
    assert (found.met, found.evidence) == ("no", "by the rule: none; fixed: implicit 0.001")
    ruled = [
        r.model_copy(
            update={
                "setting": r.setting.model_copy(
                    update={"hyperparameters": {**r.setting.hyperparameters, "threshold": RULE}}
                )
            }
        )
        if r.label == "implicit"
        else r
        for r in records
    ]
    assert findings(study, ruled)[XI] == fairness.Finding(XI, "yes", "by the rule: implicit; fixed: none")


def test_the_papers_threshold_beside_others_is_not_the_papers_own_entry(tmp_path):
    points = "points = [{strength = 0.001, threshold = 1e-15}, {strength = 0.1, threshold = 1e-3}]"
    study = made(tmp_path, TINY.replace("strength = [0.001, 0.1]", points))
    found = findings(study, [result(t) for t in study.trials()])
    assert (found[XI].met, found[XI].evidence) == ("no", "by the rule: none; fixed: implicit 1e-15, 0.001")
    assert found[VALIDATION].evidence.endswith("in a way no record shows: implicit: threshold")  # set point by point


def judged(study, **changes):
    """The rules of the tiny study's records, had it been tuned."""
    candidates = {label: [{}, {"learning_rate": 0.02}] for label in study.methods}
    tuning = Tuning(**{"seed": 100, "candidates": candidates, **changes})
    return {f.rule: f for f in fairness.check(study, [result(t) for t in study.trials()], tuning)}


def test_tuning_is_by_one_rule_where_candidates_are_as_many_on_a_seed_of_their_own(study):
    found = judged(study)[TUNED]
    assert (found.met, found.evidence) == (
        "yes",
        "2 candidates for each of 3 methods, with tuning seed 100, chosen by validation; evaluation seeds 0, 1, 2",
    )
    assert judged(study, seed=2)[TUNED].met == "no"
    more = {label: [{}] * (3 if label == "implicit" else 2) for label in study.methods}
    assert judged(study, candidates=more)[TUNED].evidence.startswith("2 or 3 candidates")
    assert judged(study, candidates=more)[TUNED].met == "no"
    assert judged(study, candidates={"implicit": [{}]})[TUNED].met == "no"


def test_of_one_candidate_nothing_is_chosen(study):
    found = judged(study, candidates={label: [{"learning_rate": 0.02}] for label in study.methods})
    assert found[TUNED].met == "no"
    assert found[TUNED].evidence.endswith("; of one candidate nothing is chosen: dense; implicit; magnitude_filter")


def test_what_all_candidates_set_alike_is_set_by_hand(tmp_path):
    study = made(tmp_path, TINY.replace("[0.001, 0.1]", "[0.001, 0.1]\nlearning_rate = 0.1\nthreshold = 1e-3"))
    same = [{"learning_rate": rate, "threshold": 1e-3} for rate in (0.1, 0.2)]
    assert judged(study, candidates=dict.fromkeys(study.methods, same))[VALIDATION].evidence.endswith(
        "shows: implicit: threshold"
    )


def test_what_tuning_tried_was_made_by_the_same_code_on_the_same_hardware(study):
    records = [result(t) for t in study.trials()]

    def met(**changes):
        tried = [r.model_copy(update={"provenance": {**PROVENANCE, **changes}}) for r in records[:2]]
        found = {f.rule: f for f in fairness.check(study, records, None, tried)}
        return found[CODE].met, found[MACHINE].met, found[CODE].evidence + found[MACHINE].evidence

    assert met()[:2] == ("yes", "yes")
    assert "tuned" not in met()[2]
    for changes in ({"commit": "b" * 40}, {"dirty": True}, {"torch": "3"}):
        assert met(**changes)[:2] == ("no", "yes")
    assert "; tuned with other code: 2 of 2 records, dense on simulated-mlp-8, seed 0, record" in met(dirty=True)[2]
    assert met(cpu="Other")[:2] == ("yes", "no")
    assert "; tuned with other hardware: 2 of 2 records, dense on" in met(cpu="Other")[2]


def test_what_was_tuned_is_not_set_by_hand(tmp_path):
    study = made(tmp_path, TINY.replace("[0.001, 0.1]", "[0.001, 0.1]\nlearning_rate = 0.1\nthreshold = 1e-3"))
    assert judged(study)[VALIDATION].evidence.endswith("shows: implicit: threshold")


def test_what_is_not_met_comes_first(study):
    mets = [f.met for f in fairness.check(study, [result(t) for t in study.trials()])]
    assert mets == ["no"] * 3 + ["yes"] * (len(mets) - 3)
