"""The table of a conditions study."""

import numpy as np
import pytest

from benchmark.analysis import conditions
from benchmark.analysis.intervals import spread
from benchmark.experiment.study import load_study
from benchmark.figures import conditions as figures
from tests.conftest import TINY
from tests.support.made_records import failure, result

CONDITIONS = """
[conditions]
of = "steady"
crossed = ["optimizer", "activation"]

[conditions.factors.optimizer]
adam = {}
sgd = {optimizer = "sgd", learning_rate = 0.1}

[conditions.factors.activation]
relu = {}
tanh = {activation = "tanh"}
"""
STUDY = TINY.partition("[methods.implicit]")[0] + '[methods.steady]\nmethod = "implicit"\nstrength = 0.1\n' + CONDITIONS
THRESHOLDS = {"1e-15": 0.1, "1e-08": 0.2, "1e-04": 0.3, "1e-02": 0.4, "1e-01": 0.5}
CROSSED = "optimizer × activation"


def load(tmp_path, text=STUDY):
    path = tmp_path / "conditioned.toml"
    path.write_text(text)
    return load_study(str(path))


@pytest.fixture
def study(tmp_path):
    return load(tmp_path)


def records_of(study):
    """A record for every trial; accuracies and shares tell label and seed."""
    labels = list(study.tables)
    made = []
    for trial in study.trials():
        own = labels.index(trial.label) / 100 + trial.seed / 1000
        sweep = {threshold: share + own for threshold, share in THRESHOLDS.items()}
        shares = {
            "channel_sparsity": 0.6 + own,
            "param_sparsity": 0.5 + own,
            "never_active": 0.7 + own,
            "threshold_sweep": sweep,
        }
        made.append(result(trial, test_accuracy=0.8 + own, **shares))
    return made


def test_levels_hold_their_labels_records_by_seed_and_combinations_come_last(study):
    records = records_of(study)
    levels = conditions.by_level(study, records[::-1])
    assert {level: (own[0].label, [r.seed for r in own]) for level, own in levels.items()} == {
        ("optimizer", "adam"): ("steady", [0, 1]),
        ("optimizer", "sgd"): ("optimizer: sgd", [0, 1]),
        ("activation", "relu"): ("steady", [0, 1]),
        ("activation", "tanh"): ("activation: tanh", [0, 1]),
        (CROSSED, "adam, relu"): ("steady", [0, 1]),
        (CROSSED, "adam, tanh"): ("activation: tanh", [0, 1]),
        (CROSSED, "sgd, relu"): ("optimizer: sgd", [0, 1]),
        (CROSSED, "sgd, tanh"): ("optimizer: sgd, activation: tanh", [0, 1]),
    }
    assert list(levels)[-4:] == [(CROSSED, pair) for pair in ("adam, relu", "adam, tanh", "sgd, relu", "sgd, tanh")]


def test_without_crossed_factors_there_are_no_combinations(study):
    alone = study.model_copy(update={"conditions": study.conditions.model_copy(update={"crossed": []})})
    assert {factor for factor, _ in conditions.by_level(alone, [])} == {"optimizer", "activation"}


def test_a_study_of_methods_has_no_levels(tmp_path):
    with pytest.raises(AssertionError, match="only a conditions study"):
        conditions.by_level(load(tmp_path, TINY), [])


def test_a_row_holds_the_means_of_its_levels_records(study):
    records = records_of(study)
    mine = [r for r in records if r.label == "optimizer: sgd"]
    table = conditions.summarise(study, records)
    row = table[(table.factor == "optimizer") & (table.level == "sgd")].iloc[0].to_dict()
    thresholds = {f"‖w‖ < {text}": text.replace("e-", "e-0") for text in ("1e-8", "1e-4", "1e-2", "1e-1")}
    thresholds["‖w‖ < 1e-15"] = "1e-15"
    expected = {
        "factor": "optimizer",
        "level": "sgd",
        "n": 2,
        "failed": 0,
        "test accuracy": spread([r.test_accuracy for r in mine]),
        "removed": spread([r.channel_sparsity for r in mine]),
        "parameters removed": spread([r.param_sparsity for r in mine]),
        "never active": spread([r.never_active for r in mine]),
    }
    swept = {name: spread([r.threshold_sweep[key] for r in mine]) for name, key in thresholds.items()}
    assert row == expected | swept
    assert list(table)[:6] == ["factor", "level", "n", "failed", "test accuracy", "never active"]
    assert list(table)[6:8] == ["removed", "parameters removed"]
    assert list(table)[8:] == [f"‖w‖ < 1e-{power}" for power in (15, 8, 4, 2, 1)]


def test_failures_are_counted_and_what_records_lack_is_not(study):
    records = [
        failure(t) if t.label == "activation: tanh" and t.seed else r
        for t, r in zip(study.trials(), records_of(study), strict=True)
    ]
    records = [r.model_copy(update={"never_active": None}) if r.label == "optimizer: sgd" else r for r in records]
    table = conditions.summarise(study, records).set_index(["factor", "level"])
    half = table.loc["activation", "tanh"]
    assert (half.n, half.failed, half["test accuracy"].n) == (1, 1, 1)
    assert table.loc["optimizer", "sgd"]["never active"].n == 0
    assert np.isnan(conditions.summarise(study, []).iloc[0]["removed"].mean)


def test_there_is_a_table_for_each_factor_without_its_name(study):
    tables = conditions.by_factor(study, records_of(study))
    assert list(tables) == ["control", "optimizer", "activation", CROSSED]
    assert list(tables["optimizer"].level) == ["adam", "sgd"]
    assert "factor" not in tables[CROSSED]


def test_the_controls_stand_beside_what_is_changed(study):
    records = records_of(study)
    (dense,) = conditions.by_factor(study, records)["control"].to_dict("records")
    assert (dense["level"], dense["n"]) == ("Dense", 2)
    assert dense["test accuracy"] == spread([r.test_accuracy for r in records if r.label == "dense"])


def test_records_are_named_by_twelve_digits(study):
    records = records_of(study)[:2]
    assert conditions.short_keys(records) == f"{records[0].key[:12]} {records[1].key[:12]}"


def test_a_threshold_that_a_record_did_not_count_is_not_known_of_it(study):
    fewer = {threshold: share for threshold, share in THRESHOLDS.items() if threshold != "1e-15"}
    records = [r.model_copy(update={"threshold_sweep": fewer}) if r.seed else r for r in records_of(study)]
    row = conditions.summarise(study, records).set_index(["factor", "level"]).loc["optimizer", "adam"]
    assert (row.n, row["‖w‖ < 1e-15"].n, row["‖w‖ < 1e-8"].n) == (2, 1, 2)
    drawn = figures.draw(study, [r.model_copy(update={"history": {"silent": [0.0] * 4}}) for r in records])
    assert {drawing.name for drawing in drawn} >= {"conditions-heatmap", "conditions-thresholds"}
