"""What was claimed, judged from records that were made up to decide it one way or the other."""

import numpy as np
import pytest
from scipy import stats

from benchmark.analysis import claims
from benchmark.analysis.claims_of_conditions import CLAIMS
from benchmark.analysis.intervals import spread
from benchmark.experiment.study import Study, load_study
from tests.conftest import TINY
from tests.support.made_records import failure, result
from tests.support.made_study import write_records

SCRATCH = "\n[methods.scratch]\nratio = [0.25, 0.75]\n"
NOISE = [0.003, -0.001, 0.002, -0.002, 0.001, -0.003, 0.0005, 0.0015]


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.replace("[0, 1]", str(list(range(8)))) + SCRATCH)
    return load_study(str(path))


def records_of(study, better=0.0, sparsity=0.8, noise=1.0):
    """Two knob points of each method; the subject is better than the others by so much, plus noise over seeds."""
    made = []
    for trial in study.trials():
        ours = trial.label == "implicit"
        accuracy = 0.9 + (better + noise * NOISE[trial.seed] if ours else 0.0)
        strong = result(trial).knob_value in (0.1, 0.75)
        share = 0.0 if trial.label == "dense" else sparsity if ours or strong else 0.4
        made.append(result(trial, test_accuracy=accuracy, val_accuracy=accuracy, param_sparsity=share))
    return made


def verdicts(study, records):
    found = claims.judge([(study, records)])
    return {claim.sentence.removeprefix("`tiny`: "): claim.verdict for claim in found}


BETTER = "Adam + L2 (implicit) is better than a small network trained from scratch at 75 % removed"


@pytest.mark.parametrize(
    ("better", "noise", "verdict"),
    [
        (0.01, 1, "holds"),
        (-0.01, 1, "does not hold"),
        (-0.0021, 1, "does not hold"),  # not significant, and no room for 0.2 points
        (0.0, 10, "undecided"),
    ],
)
def test_a_claim_holds_does_not_hold_or_is_undecided(study, better, noise, verdict):
    assert verdicts(study, records_of(study, better, noise=noise))[BETTER] == verdict


def test_p_is_corrected_for_all_tests_and_few_pairs_are_not_tested(study):
    records = records_of(study, better=0.01)
    found = claims.judge([(study, records)])
    [claim] = [c for c in found if c.sentence.endswith(BETTER)]
    differences = np.array([0.01 + NOISE[seed] for seed in range(8)])
    text = f"{100 * spread(differences, least=-1.0).mean:+.2f}"
    assert claim.evidence.startswith(text)
    assert "n = 8 of 8" in claim.evidence
    tested = sum("corrected for" in c.evidence for c in found)
    assert f"corrected for {tested} tests" in claim.evidence
    few = [r if r.seed < 4 else failure(r.trial) for r in records]
    [claim] = [c for c in claims.judge([(study, few)]) if c.sentence.endswith(BETTER)]
    assert (claim.verdict, claim.evidence.endswith("n = 4 of 8, not tested")) == ("undecided", True)


def test_who_does_not_get_as_far_is_not_better_and_what_nobody_reaches_is_no_claim(study):
    found = verdicts(study, records_of(study, better=0.01, sparsity=0.3))
    assert not any("removed" in sentence for sentence in found)
    records = records_of(study, better=0.01)
    short = [r.model_copy(update={"param_sparsity": 0.3}) if r.label == "implicit" else r for r in records]
    [claim] = [c for c in claims.judge([(study, short)]) if c.sentence.endswith(BETTER)]
    assert (claim.verdict, claim.evidence) == ("does not hold", "no seed gets there, of the other 8 of 8")


def test_a_rival_that_fine_tunes_meets_the_subject_that_does(tmp_path, monkeypatch):
    path = tmp_path / "tiny.toml"
    more = '\n[methods.ours]\nmethod = "implicit"\nstrength = [0.002, 0.2]\n\n[methods.l1]\nstrength = [0.001, 0.1]\n'
    path.write_text(TINY + more)
    tuned = ("ours", "magnitude_filter")
    monkeypatch.setattr(Study, "legend", lambda study, label: label + " + fine-tune" * (label in tuned))
    study = load_study(str(path))
    found = [c.sentence for c in claims.judge([(study, [result(t, param_sparsity=0.8) for t in study.trials()])])]
    assert "`tiny`: ours + fine-tune is more accurate than magnitude_filter + fine-tune at 75 % removed" in found
    assert "`tiny`: implicit is more accurate than l1 at 75 % removed" in found
    assert not any("implicit is more accurate than magnitude" in sentence for sentence in found)


def test_equal_drops_are_known_no_better_than_accuracies_are(study):
    drop = {("implicit", 0.1): 0.01, ("magnitude_filter", 0.75): 0.02}
    removed = {0.001: 0.2, 0.1: 0.6, 0.25: 0.2, 0.75: 0.6}
    records = []
    for r in (result(trial) for trial in study.trials()):
        accuracy = 0.9 - drop.get((r.label, r.knob_value), 0.0)
        records.append(
            r.model_copy(update={"test_accuracy": accuracy, "param_sparsity": removed.get(r.knob_value, 0.0)})
        )
    [claim] = [c for c in claims.judge([(study, records)]) if "smaller steps" in c.sentence]
    t = np.sqrt(8 * 6)  # as far apart as one step, which they cannot spread less than √(1/6) of
    assert f"+1.00 (8 of 8) points, n = 8 of 8, p = {2 * stats.t.sf(t, 7):.2g}, corrected" in claim.evidence


def dead(study, **shares):
    """A record for every condition, dead as told by its optimiser, penalty or activation."""
    made = []
    for trial in study.trials():
        values = {**trial.setting.hyperparameters, "activation": trial.task.activation}
        share = min([shares.get(str(value), 0.8) for value in values.values()])
        made.append(result(trial, never_active=share, channel_sparsity=share))
    return made


NONE = dict.fromkeys(("sgd", "momentum", "adamw", "amsgrad", "adagrad", "adadelta", "tanh", "sigmoid", "0.0"), 0.0)


def test_conditions_hold_where_all_seeds_agree_and_not_where_all_of_one_contradict():
    study = load_study("conditions_mnist")
    found = claims.judge([(study, dead(study, **NONE))])
    assert [c.verdict for c in found] == ["holds", "does not hold", "holds", "does not hold", "holds"]
    assert "sgd 0.0 (3 of 3)" in found[0].evidence
    other = claims.judge([(study, dead(study, **{**NONE, "momentum": 0.5, "tanh": 0.5}))])
    assert [c.verdict for c in other] == ["does not hold"] * 2 + ["holds"] + ["does not hold"] * 2
    between = claims.judge([(study, dead(study, **{**NONE, "momentum": 0.05}))])
    assert between[0].verdict == "undecided"


def test_a_seed_without_a_result_agrees_with_no_claim_and_is_counted():
    study = load_study("conditions_mnist")
    records = [failure(r.trial) if r.seed and "sgd" in r.label else r for r in dead(study, **NONE)]
    found = claims.judge([(study, records)])
    assert (found[0].verdict, "sgd 0.0 (1 of 3)" in found[0].evidence) == ("undecided", True)
    lost = [r for r in dead(study, **{**NONE, "momentum": 0.5}) if "sgd" not in r.label]
    assert claims.judge([(study, lost)])[0].verdict == "does not hold"  # for momentum's seeds alone


def test_conditions_without_records_are_undecided_and_without_levels_not_judged(tmp_path):
    study = load_study("conditions_mnist")
    assert {c.verdict for c in claims.judge([(study, [])])} == {"undecided"}
    assert len(claims.judge([(study, [])])) == len(CLAIMS)
    few = study.model_copy(update={"conditions": study.conditions.model_copy(update={"factors": {}, "crossed": []})})
    assert claims.judge([(few, [])]) == []


def test_the_command_prints_a_sentence_for_each_claim_and_the_rule(study, deadweight, tmp_path):
    write_records(records_of(study, better=0.01), tmp_path / "results" / "tiny" / "records.jsonl")
    code, out, _ = deadweight("claims", tmp_path / "tiny.toml")
    assert code == 0
    assert f"- `tiny`: {BETTER}: **holds** (" in out
    assert out.rstrip().endswith(claims.RULE)
    code, out, err = deadweight("claims", tmp_path / "tiny.toml", tmp_path / "tiny.toml")  # twice the evidence
    assert (code, out, err) == (2, "", "deadweight: study 'tiny' is named twice\n")


def test_a_study_without_records_makes_no_claim(study, deadweight, tmp_path):
    code, out, err = deadweight("claims", tmp_path / "tiny.toml")
    assert (code, out, err.count("\n"), "has no records in results" in err) == (2, "", 1, True)
